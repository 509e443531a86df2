/**
 * Command lines for other engines: flags with values, each held to the list of flags of the one
 * version it was written for, and written so that a shell reads back what was meant.
 */
import { assert } from '../../base/assert.ts';

export interface EngineFlags {
  readonly engine: string;
  /** Release or commit, and the file whose flags these are. */
  readonly version: string;
  readonly names: ReadonlySet<string>;
}

export interface Flag {
  readonly name: string;
  /** Empty: a switch. */
  readonly values: readonly (string | number)[];
}

export interface Export {
  readonly text: string;
  /** What the plan says and the engine cannot do; the text says it too. */
  readonly warnings: readonly string[];
}

/** Collects flags in order, without those whose value is null. */
export function flagsOf(
  given: Readonly<Record<string, string | number | readonly (string | number)[] | boolean | null>>,
): readonly Flag[] {
  return Object.entries(given).flatMap(([name, value]): Flag[] => {
    if (value === null || value === false) return [];
    if (value === true) return [{ name, values: [] }];
    return [{ name, values: typeof value === 'object' ? value : [value] }];
  });
}

export function checkFlags(flags: readonly Flag[], engine: EngineFlags): void {
  for (const { name } of flags) {
    assert(engine.names.has(name), `${engine.engine} ${engine.version} has no ${name}`);
  }
}

export function formatFlag({ name, values }: Flag): string {
  return [name, ...values.map((value) => quoteForShell(String(value)))].join(' ');
}

/** As it is where a shell takes it literally, else between apostrophes. */
export function quoteForShell(text: string): string {
  return /^[\w.,:/=+@%-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Lines of a comment: no name, however long or odd, leaves it. */
export function commentLines(text: string): readonly string[] {
  const words = text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .split(' ');
  const lines: string[] = [];
  let line = '#';
  for (const word of words) {
    if (line.length + word.length + 1 > 98 && line !== '#') {
      lines.push(line);
      line = '#  ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
