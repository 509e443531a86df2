/** A measured program in a process of its own, whose last line of output is a JSON object. */
import { spawn } from 'node:child_process';
import { MoebiusError } from '../../base/errors.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export type Figures = Readonly<Record<string, unknown>>;

/**
 * @param via words put before the command, as `taskset -c 0,1`
 * @throws bench.peerFailed when it fails, or its last line is no JSON object
 */
export async function runCommand(command: Command, via: readonly string[] = []): Promise<Figures> {
  const [file = '', ...args] = [...via, command.file, ...command.args];
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...command.env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | string>((done, fail) => {
    child.on('error', fail);
    child.on('close', (status, signal) => done(status ?? signal ?? ''));
  });
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (code === 0 && /^\{.*\}$/.test(line)) return JSON.parse(line) as Figures;
  throw new MoebiusError('bench.peerFailed', 'a measured program failed', {
    values: {
      command: [file, ...args].join(' '),
      code,
      because: stderr.trim().split('\n').slice(-3).join(' | '),
    },
    hint: 'Run it alone to see all that it says; docs/performance.md knows what may be wrong.',
  });
}

/** A number of a program's figures. */
export function figure(figures: Figures, key: string): number {
  const value = figures[key];
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new MoebiusError('bench.peerFailed', `a measured program gave no ${key}`, {
    values: { keys: Object.keys(figures) },
    hint: 'Take the version of it that docs/performance.md names.',
  });
}
