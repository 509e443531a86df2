/**
 * Material that is read where it lies and never copied: beside the project, or where
 * `MOEBIUS_SHARED` says. What needs it says so in one line where it is absent.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './projectFiles.ts';

const { MOEBIUS_SHARED = join(projectRoot, '..', 'shared') } = process.env;

/** The file's path, or null where it is not there. */
export function sharedFile(...parts: readonly string[]): string | null {
  const path = join(MOEBIUS_SHARED, ...parts);
  return existsSync(path) ? path : null;
}

/** For a test's options: runs when all files are there, else the reason in one line. */
export function skipUnless(...paths: readonly (string | null)[]): {
  readonly skip: string | false;
} {
  return { skip: paths.includes(null) ? `the shared data is not at ${MOEBIUS_SHARED}` : false };
}
