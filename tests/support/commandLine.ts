/**
 * The command line under test: in this process, which is fast, or in one of its own, which can be
 * killed. Either way with what it printed, and its last line of standard output as JSON.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { main } from '../../src/cli/main.ts';
import { projectRoot } from './projectFiles.ts';

export interface Ran {
  /** A signal's name where one ended it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export type Json = Record<string, unknown>;

/** Runs `moebius ARGS` in this process. */
export async function moebius(...args: readonly string[]): Promise<Ran> {
  const printed = { stdout: '', stderr: '' };
  const restore = [
    capture(process.stdout, (text) => {
      printed.stdout += text;
    }),
    capture(process.stderr, (text) => {
      printed.stderr += text;
    }),
  ];
  const { exitCode } = process;
  try {
    process.exitCode = undefined;
    return { code: await main(args), ...printed };
  } finally {
    process.exitCode = exitCode;
    for (const undo of restore) undo();
  }
}

/** Text only: the test runner speaks through standard output too, in bytes. */
function capture(stream: NodeJS.WriteStream, note: (text: string) => void): () => void {
  const write = stream.write;
  stream.write = ((chunk: string | Uint8Array, ...rest: []) => {
    if (typeof chunk !== 'string') return write.call(stream, chunk, ...rest);
    note(chunk);
    return true;
  }) as typeof stream.write;
  return () => {
    stream.write = write;
  };
}

/** Runs it, expects success, and gives the JSON that `--json` puts last. */
export async function moebiusJson(...args: readonly string[]): Promise<Json> {
  return lastLine(await moebius(...args, '--json'));
}

/** @throws when the command failed, or its last line is no JSON object */
export function lastLine(ran: Ran): Json {
  assert.equal(ran.code, 0, ran.stderr);
  return jsonOf(ran);
}

export function jsonOf({ stdout }: Ran): Json {
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  assert.match(line, /^\{.*\}$/, `the last line is JSON: ${line}`);
  return JSON.parse(line) as Json;
}

/** A caller's mistake: exit code 1, the error's code and a hint, and no stack trace. */
export function assertRefused(ran: Ran, code: string): void {
  const shown = `${ran.stdout}\n${ran.stderr}`;
  assert.equal(ran.code, 1, shown);
  assert.ok(ran.stderr.includes(`(${code})`), `${code} expected, got ${shown}`);
  assert.doesNotMatch(ran.stderr, /^\s+at .*:\d+:\d+/m, 'no stack trace');
}

export interface Process {
  /** All of its standard error so far. */
  readonly stderr: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<Ran>;
}

export interface StartOptions {
  /** Called with all that standard error holds whenever there is more of it. */
  readonly onStderr?: (all: string, kill: Process['kill']) => void;
  /** Dies before its n-th change to a file or folder below `dieIn` (`dieAtFileChange.ts`). */
  readonly dieAtChange?: number;
  readonly dieIn?: string;
  /** All of its standard input. */
  readonly input?: string;
}

/** Starts `moebius ARGS` in a process of its own. */
export function startMoebius(args: readonly string[], options: StartOptions = {}): Process {
  const { onStderr, dieAtChange = 0, dieIn = '', input = '' } = options;
  const program = join(projectRoot, 'bin', 'moebius.js');
  const preload = join(projectRoot, 'tests', 'support', 'dieAtFileChange.ts');
  const before = dieAtChange > 0 ? ['--import', preload] : [];
  const child = spawn(process.execPath, [...before, program, ...args], {
    cwd: projectRoot,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, DIE_AT_CHANGE: String(dieAtChange), DIE_IN: dieIn },
  });
  child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  const kill: Process['kill'] = (signal) => void child.kill(signal);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onStderr?.(stderr, kill);
  });
  const ended = new Promise<Ran>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal ?? '', stdout, stderr }));
  });
  return { stderr: () => stderr, kill, ended };
}
