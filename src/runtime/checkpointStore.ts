/** A run's checkpoints on disk: listed, removed, and the best one named in `best.json`. */
import { existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileSink } from './files.ts';

export interface BestNote {
  readonly name: string;
  readonly step: number;
  readonly bitsPerByte: number;
}

/** In the shape that the trainer asks for (`training/checkpoints.ts`). */
export interface DiskCheckpointStore {
  list(): Promise<readonly string[]>;
  remove(name: string): Promise<void>;
  markBest(best: BestNote): Promise<void>;
}

const BEST_FILE = 'best.json';

/** Drafts of a killed process do not count: their names begin with a dot. */
export function openCheckpointStore(directory: string): DiskCheckpointStore {
  return {
    list: async () => {
      if (!existsSync(directory)) return [];
      const entries = await readdir(directory, { withFileTypes: true });
      return entries
        .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
        .map((entry) => entry.name);
    },
    remove: (name) => rm(join(directory, name), { recursive: true, force: true }),
    markBest: async (best) => {
      const draft = join(directory, `.${BEST_FILE}`);
      const sink = await createFileSink(draft, 'new');
      await sink.write(new TextEncoder().encode(`${JSON.stringify(best)}\n`));
      await sink.close();
      await rename(draft, join(directory, BEST_FILE));
    },
  };
}
