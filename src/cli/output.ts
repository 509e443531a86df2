/**
 * What every command prints: something for people, then, with `--json`, one line for programs.
 *
 * Tables go to standard output; progress goes to standard error, so that a pipe gets only results.
 * With `--json` the JSON object is the last line of standard output, whatever came before it.
 */
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { makeFolder } from '../runtime/makeFolder.ts';

export interface OutputOptions {
  readonly json?: boolean;
}

export type Cell = string | number;

/** Aligns columns of numbers right and others left; widths count what a terminal shows. */
export function formatTable(
  rows: readonly (readonly Cell[])[],
  header?: readonly string[],
): string {
  const all = header === undefined ? rows : [header, ...rows];
  const numColumns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: numColumns }, (_, i) =>
    Math.max(0, ...all.map((row) => displayWidth(String(row[i] ?? '')))),
  );
  const isNumbers = widths.map((_, i) => rows.every((row) => isNumeric(row[i])));
  const line = (row: readonly Cell[]): string =>
    widths
      .map((width, i) => {
        const text = String(row[i] ?? '');
        const padding = ' '.repeat(width - displayWidth(text));
        return isNumbers[i] === true ? padding + text : text + padding;
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  const body = rows.map(line);
  return (header === undefined ? body : [line(header), rule, ...body]).join('\n');
}

/** A number, perhaps with a unit behind it; an empty cell does not decide. */
function isNumeric(cell: Cell | undefined): boolean {
  if (typeof cell === 'number' || cell === undefined || cell === '') return true;
  return /^[-+–]?[\d.,]*( ?[%\p{L}/×]{1,8})?$/u.test(cell) && /\d|–/.test(cell);
}

/** Hangul, CJK, kana and full-width forms, and pictographs. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const PICTOGRAPH = /[\u{1f300}-\u{1faff}]/u;

/** Columns on a terminal: wide East Asian characters take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}/u.test(character)) continue;
    width += WIDE.test(character) || PICTOGRAPH.test(character) ? 2 : 1;
  }
  return width;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Progress and notices. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The command's result: a table for people, then one line of JSON if it was asked for. */
export function printResult(
  options: OutputOptions,
  { table, json }: { table: string; json: Readonly<Record<string, unknown>> },
): void {
  if (table !== '') print(table);
  if (options.json) print(JSON.stringify(json));
}

/** A result as a file; folders on its path are made. @throws file.noFolder */
export async function writeText(path: string, text: string): Promise<void> {
  makeFolder(dirname(path));
  await writeFile(path, text);
}

const DISK_HINT = 'Check the path, its permissions, and the space left on its disk.';
const NETWORK_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Give another --port (0 takes a free one), or end what listens there.',
  EADDRNOTAVAIL: 'Give a --host that is an address of this machine.',
  ENOTFOUND: 'Correct the name of the host.',
  EAI_AGAIN: 'Correct the name of the host, or try again once names can be looked up.',
};

/**
 * An error as the caller's mistake: what we refuse, or what the system refuses us (a folder where a
 * file should be, no permission, a full disk). Null for our own.
 */
export function asMistake(error: unknown): MoebiusError | null {
  if (error instanceof MoebiusError) return error;
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return null;
  const { code, path } = error as NodeJS.ErrnoException;
  return new MoebiusError(`system.${code}`, error.message, {
    values: path === undefined ? {} : { path },
    hint: NETWORK_HINTS[code ?? ''] ?? DISK_HINT,
    cause: error,
  });
}

/** A mistake as people see it: what, which values, what to do. Our own with a stack. */
export function describeError(error: unknown): string {
  const mistake = asMistake(error);
  if (mistake === null) return error instanceof Error ? (error.stack ?? error.message) : `${error}`;
  const values = Object.entries(mistake.values).map(
    ([name, value]) => `    ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const hint = mistake.hint === undefined ? [] : [`  ${mistake.hint}`];
  return [`moebius: ${mistake.message} (${mistake.code})`, ...values, ...hint].join('\n');
}
