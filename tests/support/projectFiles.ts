/** The project's own files, read once: what the laws of the house look at. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface ProjectFile {
  /** Relative to the project, with slashes: `src/base/clock.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Folders that hold what is made or brought, not written. */
const FOREIGN = new Set(['node_modules', '.git', 'build', 'dist', 'golden']);

/** Where runs lie by default; a folder of that name further down is a source's. */
const RUNS = 'runs';

/** Every file below a folder whose path passes, in a fixed order. */
export function projectFiles(folder: string, wanted: RegExp): readonly ProjectFile[] {
  const paths: string[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(join(projectRoot, path), { withFileTypes: true })) {
      const inner = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory() && !FOREIGN.has(entry.name) && inner !== RUNS) visit(inner);
      else if (entry.isFile() && wanted.test(inner)) paths.push(inner);
    }
  };
  visit(folder);
  return paths
    .sort()
    .map((path) => ({ path, text: readFileSync(join(projectRoot, path), 'utf8') }));
}

export function readProjectFile(path: string): string {
  return readFileSync(join(projectRoot, path), 'utf8');
}
