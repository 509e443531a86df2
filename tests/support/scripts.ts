/** The plain-JavaScript parts of the house, with types: what the launcher and the set-up export. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { projectRoot } from './projectFiles.ts';

export interface Launcher {
  isNewEnough(version: string): boolean;
  bundledNode(root: string, platform?: string): string | undefined;
}

export interface PackageCheck {
  stalePackages(root: string): readonly string[];
}

export type Addon =
  | { readonly kind: 'ready'; readonly path: string; readonly isNew: boolean }
  | { readonly kind: 'unavailable'; readonly reason: string; readonly hint: string };

export interface AddonBuilder {
  ensureAddon(options: { root: string; force?: boolean }): Promise<Addon>;
}

export type WasmBinary =
  | { readonly kind: 'ready'; readonly path: string; readonly isNew: boolean }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface WasmBuilder {
  binaryPath(root: string): string;
  ensureWasm(options: { root: string; path?: string; force?: boolean }): Promise<WasmBinary>;
  findTools(): object | undefined;
  originOf(bytes: Uint8Array): { readonly key: string; readonly compiler: string } | undefined;
  sourceKey(root: string): string;
}

/** A module of bin/ or scripts/, by its path in the project. */
export async function importScript<T>(path: string): Promise<T> {
  return (await import(scriptUrl(path))) as T;
}

export function scriptUrl(path: string): string {
  return pathToFileURL(join(projectRoot, path)).href;
}

export interface Ended {
  /** 128 and more: the signal that ended it, as a shell reports it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called with what the program has printed so far, each time there is more. */
  readonly onOutput?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** Runs a program to its end with no standard input. */
export function runProgram(
  program: string,
  args: readonly string[],
  { cwd = projectRoot, env = process.env, onOutput }: RunOptions = {},
): Promise<Ended> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onOutput?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal ?? '', stdout, stderr }));
  });
}

/** A folder that is gone when the test has ended. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'moebius-test-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
