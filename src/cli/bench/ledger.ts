/**
 * The ledger of benchmarks: a JSON line for every recorded result, with the day, the commit, what
 * machine it was and the exact command, so that a figure in a document can be traced and repeated.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes } from '../../base/units.ts';
import { makeFolder } from '../../runtime/makeFolder.ts';
import { optionName } from './benchOptions.ts';
import type { Figures } from './runCommand.ts';

export interface LedgerEntry {
  /** Year, month and day. */
  readonly date: string;
  /** Short hash; with `+` where files were changed since; null outside of a checkout. */
  readonly commit: string | null;
  /** Processor, cores, memory and Node; no names. */
  readonly machine: string;
  readonly command: string;
  readonly figures: Figures;
}

export const LEDGER: string = join('bench', 'ledger.jsonl');

/**
 * Appends a line. Gives the path.
 *
 * @throws bench.ledger when it cannot be written; the figures were printed by then
 */
export function recordResult(args: {
  what: string;
  compared: string | undefined;
  options: Readonly<Record<string, unknown>>;
  figures: Figures;
}): string {
  const { record } = args.options;
  const path = typeof record === 'string' ? record : LEDGER;
  return appendResult(path, { command: commandLine(args), figures: args.figures });
}

/** The same for a program of its own, which knows its command. */
export function appendResult(
  path: string,
  { command, figures }: Pick<LedgerEntry, 'command' | 'figures'>,
): string {
  const entry: LedgerEntry = {
    date: new Date().toISOString().slice(0, 10),
    commit: currentCommit(),
    machine: describeMachine(),
    command,
    figures: rounded(figures) as Figures,
  };
  try {
    makeFolder(dirname(path));
    appendFileSync(path, `${JSON.stringify(entry)}\n`);
  } catch (cause) {
    throw new MoebiusError('bench.ledger', `the figures cannot be recorded in ${path}`, {
      values: { path, because: cause instanceof Error ? cause.message : String(cause) },
      hint: 'Give --record a file that can be written. The figures above hold.',
      cause,
    });
  }
  return path;
}

/** As it was typed, without what depends on folders of one machine. */
function commandLine(args: {
  what: string;
  compared: string | undefined;
  options: Readonly<Record<string, unknown>>;
}): string {
  const words = ['moebius', 'bench', args.what, ...(args.compared ? [args.compared] : [])];
  for (const [name, value] of Object.entries(args.options)) {
    if (HIDDEN.has(name) || value === undefined) continue;
    const option = optionName(name);
    words.push(...(value === true ? [option] : [option, FOLDERS.has(name) ? '…' : `${value}`]));
  }
  return words.join(' ');
}

const HIDDEN = new Set(['json', 'record', 'via']);
const FOLDERS = new Set(['peers', 'gguf', 'model']);

function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? process.arch;
  const cores = `${availableParallelism()} cores`;
  return `${model}, ${cores}, ${formatBytes(totalmem())}, Node ${process.versions.node}`;
}

function currentCommit(): string | null {
  const git = (...args: string[]): string | null => {
    const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : null;
  };
  const commit = git('rev-parse', '--short', 'HEAD');
  if (commit === null) return null;
  // What is written about a measurement does not change what was measured.
  const written = [`:!${LEDGER}`, ':!docs', ':!*.md'];
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ...written);
  return changed === '' ? commit : `${commit}+`;
}

/** Five digits say all that a measurement knows. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(5));
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)]));
}
