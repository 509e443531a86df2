/**
 * Pages that show commands with their output. In a page a block
 *
 *     ```console
 *     $ npx moebius plan train …
 *     what it printed
 *     ```
 *
 * holds what the command prints, whole or with `…` on a line where lines are left out.
 *
 *     node scripts/commandPage.ts docs/planning.md     writes the output of every block anew
 *
 * `tests/cli/commandPages.test.ts` holds the pages to the commands.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface ShownCommand {
  readonly words: readonly string[];
  readonly shown: readonly string[];
}

const BLOCK = /```console\n\$ npx moebius (.*)\n([\s\S]*?)```/g;

export function shownCommands(page: string): ShownCommand[] {
  return [...page.matchAll(BLOCK)].map(([, line = '', output = '']) => ({
    words: wordsOf(line),
    shown: output.split('\n').slice(0, -1),
  }));
}

/** Words between spaces; quotes keep what they hold together. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

/** Whether the output is what is shown, `…` standing for any number of lines. */
export function isShown(output: readonly string[], shown: readonly string[]): boolean {
  const pieces = shown.join('\n').split(/^…$/m);
  let rest = output.join('\n');
  for (const [index, piece] of pieces.entries()) {
    const found = index === 0 ? (rest.startsWith(piece) ? 0 : -1) : rest.indexOf(piece);
    if (found < 0) return false;
    rest = rest.slice(found + piece.length);
  }
  return pieces.length > 1 || rest.trim() === '';
}

/** What a block shows after the command ran again: as many lines at its head as were shown. */
export function renewed(output: readonly string[], shown: readonly string[]): readonly string[] {
  const cut = shown.indexOf('…');
  return cut < 0 ? output : [...output.slice(0, cut), '…'];
}

export function run(words: readonly string[]): readonly string[] {
  const launcher = fileURLToPath(new URL('../bin/moebius.js', import.meta.url));
  const out = execFileSync(process.execPath, [launcher, ...words], { encoding: 'utf8' });
  return out.trimEnd().split('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const path of process.argv.slice(2)) {
    const page = readFileSync(path, 'utf8');
    const [first, ...rest] = page.split(/(?=```console\n\$ npx moebius )/);
    const blocks = rest.map((block) => {
      const [command] = shownCommands(block);
      if (command === undefined) return block;
      const line = block.slice(0, block.indexOf('\n', 11) + 1);
      const lines = renewed(run(command.words), command.shown);
      const end = block.indexOf('\n```', 11) + 1;
      return `${line}${lines.join('\n')}\n${block.slice(end)}`;
    });
    writeFileSync(path, [first, ...blocks].join(''));
  }
}
