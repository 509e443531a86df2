/**
 * Writes the figures of docs/performance.md and its pictures from the ledger.
 *
 *   node bench/performancePage.ts [--check]
 *
 * Of every command the latest line of `bench/ledger.jsonl` counts. The tables go between two marks
 * of the page; the pictures are those of the last `bench train --operations` and of the last
 * `bench decode` of one sequence, in bf16 where there is one. With `--check` nothing is written,
 * and a page that is behind the ledger ends with exit code 1.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LedgerEntry } from '../src/cli/bench/ledger.ts';
import { drawPicture, readOperations } from './picture.ts';

type Figures = Readonly<Record<string, unknown>>;

const root = fileURLToPath(new URL('..', import.meta.url));
const BEGIN = '<!-- figures: node bench/performancePage.ts -->';
const END = '<!-- end of figures -->';

/** Files of the page by their paths in the project, as the ledger has them. */
export function performancePage(ledger: string, page: string): Map<string, string> {
  const entries = ledger
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LedgerEntry);
  const latest = [...new Map(entries.map((entry) => [subjectOf(entry), entry])).values()];
  const [before, after] = [page.split(BEGIN)[0], page.split(END)[1]];
  if (after === undefined) throw new Error(`the page has no "${END}"`);
  const tables = [comparisons(latest), singles(latest), frames(latest)].filter(
    (table) => table !== '',
  );
  const files = new Map([
    ['docs/performance.md', `${before}${BEGIN}\n\n${tables.join('\n\n')}\n\n${END}${after}`],
  ]);
  const train = entries.findLast(
    (entry) => whatOf(entry) === 'train' && 'operations' in entry.figures,
  );
  const decodes = entries.filter(
    (entry) => whatOf(entry) === 'decode' && object(entry.figures.workload).numSequences === 1,
  );
  const decode = decodes.findLast(isBf16) ?? decodes.at(-1);
  if (train) files.set('docs/performance-train.svg', picture('A training step', train));
  if (decode) files.set('docs/performance-decode.svg', picture('Decoding one token', decode));
  return files;
}

/** What of a subject stands last in the ledger is what the page shows. */
function subjectOf(entry: LedgerEntry): string {
  const { command, figures } = entry;
  if (whatOf(entry) !== 'compare') return `${command} ${figures.machine}`;
  return `compare ${figures.workload} ${figures.batch} ${figures.dtype}`;
}

function isBf16({ figures }: LedgerEntry): boolean {
  return Array.isArray(figures.dtypes) && figures.dtypes.includes('bf16');
}

function picture(title: string, entry: LedgerEntry): string {
  const { command, figures, commit } = entry;
  const subtitle = `${command}; ${figures.machine}; ${limits(figures)}; ${commit}`;
  return drawPicture({ title, subtitle, operations: readOperations(figures) });
}

function comparisons(entries: readonly LedgerEntry[]): string {
  const rows = entries
    .filter((entry) => whatOf(entry) === 'compare')
    .map(({ command, commit, date, figures }) => [
      `${figures.workload}, batch ${figures.batch}, ${figures.dtype}`,
      range(figures.ours),
      `${range(figures.peer)}, ${figures.peerName}`,
      `${Number(figures.ratio).toFixed(2)} ×`,
      `\`${command}\`, ${commit}, ${date}`,
    ]);
  const header = ['work', 'ours, tok/s', 'other, tok/s', 'ratio', 'how'];
  return rows.length === 0 ? '' : table(header, rows);
}

function singles(entries: readonly LedgerEntry[]): string {
  const rows = entries
    .filter((entry) => ['train', 'decode', 'prefill'].includes(whatOf(entry)))
    .map(({ command, commit, date, figures }) => [
      `\`${command}\``,
      Number(figures.tokensPerSecond).toFixed(1),
      share(figures.shareOfBandwidth),
      share(figures.shareOfPeak),
      `${figures.machine}: ${limits(figures)}`,
      `${commit}, ${date}`,
    ]);
  const header = [
    'command',
    'tok/s',
    'of read speed',
    'of FMA peak',
    'machine and its limits',
    'when',
  ];
  return rows.length === 0 ? '' : table(header, rows);
}

/** Of the studio's page in a browser: frames of each movement, and its own part of them. */
function frames(entries: readonly LedgerEntry[]): string {
  const rows = entries
    .filter(({ command }) => command.startsWith('node bench/studioBrowser.ts'))
    .flatMap(({ command, commit, date, figures }) =>
      ['schedule', 'trace', 'charts'].flatMap((picture) => {
        const { times } = object(figures[picture]);
        return (Array.isArray(times) ? times.map(object) : []).map((each) => [
          `${picture}: ${each.how}`,
          milliseconds(each.medianFrame, each.mostFrame),
          milliseconds(each.medianPaint, each.mostPaint),
          `\`${command}\`, ${commit}, ${date}`,
        ]);
      }),
    );
  const header = ['the page in Chromium', 'a frame, ms (19 of 20)', 'painting, ms', 'how'];
  // Of each movement what was recorded last.
  const newest = [...new Map(rows.map((row) => [row[0], row])).values()];
  return newest.length === 0 ? '' : table(header, newest);
}

function milliseconds(middle: unknown, most: unknown): string {
  return `${Number(middle).toFixed(1)} (${Number(most).toFixed(1)})`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

function whatOf({ command }: LedgerEntry): string {
  return command.split(' ')[2] ?? '';
}

function range(spread: unknown): string {
  const { median, least, most } = object(spread);
  const text = (value: unknown): string => Number(value).toFixed(Number(median) < 100 ? 1 : 0);
  return `${text(median)} (${text(least)} to ${text(most)})`;
}

function share(value: unknown): string {
  return typeof value === 'number' ? `${(value * 100).toFixed(0)} %` : '–';
}

function limits(figures: Figures): string {
  const { fmaPeakGflops, readGigabytesPerSecond } = object(figures.roofline);
  const text = (value: unknown, digits: number): string => Number(value).toFixed(digits);
  return `${text(fmaPeakGflops, 0)} GFLOP/s, ${text(readGigabytesPerSecond, 1)} GB/s`;
}

function object(value: unknown): Figures {
  return (value ?? {}) as Figures;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const read = (path: string): string =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '';
  const files = performancePage(read('bench/ledger.jsonl'), read('docs/performance.md'));
  for (const [path, text] of files) {
    if (read(path) === text) continue;
    if (!process.argv.includes('--check')) writeFileSync(join(root, path), text);
    else process.exitCode = 1;
    console.log(`${path} ${process.exitCode === 1 ? 'is behind the ledger' : 'written'}`);
  }
}
