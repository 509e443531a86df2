/**
 * Where the time goes, as a picture: a bar for each operation, as long as its share of the time and
 * filled as far as the machine's limit would need, so that what is empty could be won.
 *
 *   moebius bench train --operations --json | node bench/picture.ts > train.svg
 *
 * Reads what `bench train --operations`, `bench kernels`, `bench decode` or `bench prefill` printed
 * (its last line). The SVG brings colours for light and dark pages.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface DrawnOperation {
  readonly operation: string;
  readonly shareOfTime: number;
  /** null where nothing is known: what lies between operations. */
  readonly shareOfLimit: number | null;
  readonly bound: string | null;
}

export interface Picture {
  readonly title: string;
  /** Machine, work and limits, in a line. */
  readonly subtitle: string;
  readonly operations: readonly DrawnOperation[];
}

/** Operations below this share of the time are one bar together. */
const LEAST_SHARE = 0.008;
const WIDTH = 880;
const LEFT = 232;
const BAR = 400;
const ROW = 24;
const TOP = 92;

export function drawPicture({ title, subtitle, operations }: Picture): string {
  const drawn = withOthers(operations);
  const longest = Math.max(...drawn.map(({ shareOfTime }) => shareOfTime));
  const height = TOP + drawn.length * ROW + 14;
  const rows = drawn.map((each, i) => row(each, { y: TOP + i * ROW, scale: BAR / longest }));
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
      `width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="16" y="28">${escaped(title)}</text>`,
    `<text class="quiet" x="16" y="48">${escaped(subtitle)}</text>`,
    ...legend(),
    ...rows,
    '</svg>',
  ].join('\n')}\n`;
}

const STYLE = [
  '.page{fill:#ffffff}.bar{fill:#d8dee6}.memory{fill:#2f6fb0}.compute{fill:#c2671b}',
  'text{font:13px system-ui,sans-serif;fill:#1c2430}.title{font-size:16px;font-weight:600}',
  '.quiet{fill:#5a6675}.name{text-anchor:end}',
  '@media(prefers-color-scheme:dark){.page{fill:#0f141a}.bar{fill:#333d49}.memory{fill:#5b9fe0}',
  '.compute{fill:#e79a52}text{fill:#e6ebf1}.quiet{fill:#9aa7b5}}',
].join('');

function legend(): string[] {
  const y = 60;
  const entry = (x: number, kind: string, text: string): string[] => [
    `<rect class="${kind}" x="${x}" y="${y}" width="14" height="14" rx="2"/>`,
    `<text class="quiet" x="${x + 20}" y="${y + 11}">${text}</text>`,
  ];
  return [
    ...entry(16, 'bar', 'time spent'),
    ...entry(116, 'memory', 'of it needed at the machine’s read speed'),
    ...entry(436, 'compute', 'of it needed at its FMA peak'),
  ];
}

function row(each: DrawnOperation, { y, scale }: { y: number; scale: number }): string {
  const { shareOfTime, shareOfLimit, bound } = each;
  const width = shareOfTime * scale;
  const kind = bound === 'multiply-adds' ? 'compute' : 'memory';
  const filled = width * Math.min(1, shareOfLimit ?? 0);
  const middle = y + 15;
  const rest = shareOfLimit === null ? '' : `, at ${percent(shareOfLimit, 0)} of the limit`;
  const name = escaped(shortName(each.operation));
  return [
    `<text class="name" x="${LEFT - 10}" y="${middle}">${name}</text>`,
    `<rect class="bar" x="${LEFT}" y="${y + 2}" width="${size(width)}" height="18" rx="2"/>`,
    ...(filled < 0.5
      ? []
      : [
          `<rect class="${kind}" x="${LEFT}" y="${y + 2}" ` +
            `width="${size(filled)}" height="18" rx="2"/>`,
        ]),
    `<text class="quiet" x="${size(LEFT + width + 8)}" y="${middle}">` +
      `${percent(shareOfTime, 1)}${rest}</text>`,
  ].join('\n');
}

/** Longest first, then the small ones as one, then what lies between operations. */
function withOthers(operations: readonly DrawnOperation[]): DrawnOperation[] {
  const isOperation = ({ shareOfLimit }: DrawnOperation): boolean => shareOfLimit !== null;
  const known = operations.filter(isOperation);
  const kept = known.filter(({ shareOfTime }) => shareOfTime >= LEAST_SHARE);
  const small = known.filter(({ shareOfTime }) => shareOfTime < LEAST_SHARE);
  const others = small.reduce(
    (sum, each) => ({
      time: sum.time + each.shareOfTime,
      limit: sum.limit + each.shareOfTime * (each.shareOfLimit ?? 0),
    }),
    { time: 0, limit: 0 },
  );
  const name = `${small.length} smaller operations`;
  return [
    ...kept.toSorted((a, b) => b.shareOfTime - a.shareOfTime),
    ...(small.length === 0
      ? []
      : [
          {
            operation: name,
            shareOfTime: others.time,
            shareOfLimit: others.limit / others.time,
            bound: 'memory',
          },
        ]),
    ...operations.filter((each) => !isOperation(each)),
  ];
}

/** `matmul accumulate:true layout:tn` → `matmul tn +`. */
export function shortName(family: string): string {
  const [name = '', ...words] = family.split(' ');
  if (words.every((word) => !word.includes(':'))) return family;
  const kept = words
    .filter((word) => !/^(?:rule\.|form:|scoring:|direction:forward)/.test(word))
    .map((word) => (word === 'accumulate:true' ? '+' : word.slice(word.indexOf(':') + 1)));
  return [name, ...kept.filter((word) => word !== '+'), ...(kept.includes('+') ? ['+'] : [])].join(
    ' ',
  );
}

/** The operations in what a benchmark printed, whichever it was. */
export function readOperations(figures: Readonly<Record<string, unknown>>): DrawnOperation[] {
  const { operations } = figures;
  if (!Array.isArray(operations) || operations.length === 0) {
    throw new Error('no operations in these figures: take bench train --operations, or decode');
  }
  return operations.map((each: Record<string, number | string | null>) => ({
    operation: String(each.operation),
    shareOfTime: Number(each.shareOfTime ?? each.shareOfStep),
    shareOfLimit: (each.shareOfLimit ?? each.shareOfRoofline ?? null) as number | null,
    bound: (each.bound ?? null) as string | null,
  }));
}

function percent(share: number, digits: number): string {
  return `${(share * 100).toFixed(digits)} %`;
}

function size(pixels: number): string {
  return pixels.toFixed(1);
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const line = readFileSync(0, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  const figures = JSON.parse(line) as Record<string, unknown>;
  const subtitle = typeof figures.machine === 'string' ? figures.machine : '';
  const operations = readOperations(figures);
  process.stdout.write(drawPicture({ title: 'Where the time goes', subtitle, operations }));
}
