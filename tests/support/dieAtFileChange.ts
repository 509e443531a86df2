/**
 * Loaded before a program (`node --import`), it kills the program's process, as `kill -9` does,
 * just before its n-th change to a folder: `DIE_AT_CHANGE=n`, `DIE_IN=FOLDER`. What it was about
 * to do is the last line of its standard error.
 *
 *     a checkpoint is: mkdir, (open, write, sync) per file, sync, rename, sync, then rm of old ones
 *
 * A file's first write stands for all of them.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { DIE_AT_CHANGE = '0', DIE_IN = '' } = process.env;
let left = Number(DIE_AT_CHANGE);

function about(change: string, path: unknown): void {
  if (typeof path !== 'string' || !path.startsWith(DIE_IN) || left <= 0) return;
  left--;
  if (left > 0) return;
  writeSync(2, `\nkilled before ${change} ${path.slice(DIE_IN.length)}\n`);
  process.kill(process.pid, 'SIGKILL');
}

type Changing = 'mkdir' | 'rename' | 'rm';

for (const name of ['mkdir', 'rename', 'rm'] as const satisfies readonly Changing[]) {
  const change = fs[name] as (...args: unknown[]) => Promise<unknown>;
  Object.assign(fs, {
    [name]: async (path: unknown, ...rest: unknown[]) => {
      about(name, path);
      return change(path, ...rest);
    },
  });
}

const open = fs.open;
Object.assign(fs, {
  open: async (...args: Parameters<typeof open>) => {
    const [path, flags] = args;
    if (flags !== 'r') about('open', path);
    const handle = await open(...args);
    for (const name of ['write', 'sync'] as const) {
      const change = handle[name].bind(handle) as (...rest: unknown[]) => Promise<unknown>;
      let isFirst = true;
      Object.assign(handle, {
        [name]: async (...rest: unknown[]) => {
          if (isFirst) about(name, path);
          isFirst = false;
          return change(...rest);
        },
      });
    }
    return handle;
  },
});
syncBuiltinESMExports();
