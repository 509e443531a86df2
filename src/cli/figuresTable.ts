/**
 * The audit on a terminal: one screen of counts and of what articles got wrong, or a table with
 * every figure, its cells wrapped to the terminal's width.
 */
import { styleText } from 'node:util';
import { countVerdicts, type FigureGroup, figureGroups } from '../planner/figures/audit.ts';
import { type Figure, judge, type Verdict, verdicts } from '../planner/figures/figure.ts';
import { allowanceText, oursText, reasonText, saidText } from '../planner/figures/figureText.ts';
import { displayWidth, formatTable } from './output.ts';

export interface FiguresView {
  /** Columns of the terminal. */
  readonly width: number;
}

const ARTICLE_WIDTH = 'SEED0'.length;
const VERDICT_WIDTH = Math.max(...verdicts.map((verdict) => verdict.length));

/** Counts of every group, then group 1: what is wrong line by line, what agrees by name. */
export function formatOverview({ width }: FiguresView): string {
  const [articles] = figureGroups;
  const figures = articles?.figures ?? [];
  const wrong = figures.filter((figure) => judge(figure) !== 'agrees');
  const right = figures.filter((figure) => judge(figure) === 'agrees');
  const byVerdict = verdicts.flatMap((verdict) =>
    wrong.filter((figure) => judge(figure) === verdict),
  );
  const names = right.map(({ id }) => id.split('.').slice(1).join('.'));
  return [
    formatCounts(),
    '',
    `Group 1, ${articles?.title}`,
    ...byVerdict.map((figure) => compactLine(figure, width)),
    ...wrap(`${right.length} agree: ${names.join(', ')}`, width),
  ].join('\n');
}

export function formatCounts(): string {
  const rows = figureGroups.map(({ number, name, title, figures }) => {
    const counts = countVerdicts(figures);
    return [`${number} ${name}`, title, figures.length, ...verdicts.map((each) => counts[each])];
  });
  const all = figureGroups.flatMap(({ figures }) => figures);
  const counts = countVerdicts(all);
  const total = ['all', '', all.length, ...verdicts.map((verdict) => counts[verdict])];
  return formatTable([...rows, total], ['group', '', 'figures', ...verdicts]);
}

/** Of what the verdict and the source leave: claim and said; ours has the rest. */
const COMPACT = { claim: 0.29, said: 0.24 };

function compactLine(figure: Figure, width: number): string {
  const options = { onlyWrong: true };
  const left = width - VERDICT_WIDTH - ARTICLE_WIDTH - 4 * 2;
  const [claim, said] = [COMPACT.claim, COMPACT.said].map((share) => Math.floor(share * left));
  const ours = oursText(figure, options);
  const isGarbled = judge(figure) === 'garbled';
  const cells = [
    [judge(figure), VERDICT_WIDTH],
    [figure.source, ARTICLE_WIDTH],
    [figure.claim, claim ?? 0],
    [saidText(figure, options), said ?? 0],
    [isGarbled ? `${ours}: ${reasonText(figure)}` : ours, left - (claim ?? 0) - (said ?? 0)],
  ] as const;
  return cells
    .map(([text, columns]) => pad(clip(text, columns), columns))
    .join('  ')
    .trimEnd();
}

/** Every figure of some groups: claim, source, said, ours, formula, verdict. */
export function formatGroups(groups: readonly FigureGroup[], { width }: FiguresView): string {
  const tables = groups.map(({ number, title, figures }) => {
    const counts = countVerdicts(figures);
    const summary = verdicts.map((verdict) => `${verdict} ${counts[verdict]}`).join(', ');
    return [`Group ${number}, ${title}: ${summary}`, formatFigures(figures, width)].join('\n');
  });
  return tables.join('\n\n');
}

const HEADER = ['verdict', 'source', 'claim', 'said', 'ours', 'formula'] as const;
/** Shares of what the verdict and the source leave: claim, said, ours, formula. */
const SHARES = [0.26, 0.2, 0.27, 0.27];
const SOURCE_WIDTH = 12;

function formatFigures(figures: readonly Figure[], width: number): string {
  const left = Math.max(60, width - VERDICT_WIDTH - SOURCE_WIDTH - 2 * HEADER.length + 2);
  const widths = [VERDICT_WIDTH, SOURCE_WIDTH, ...SHARES.map((share) => Math.floor(share * left))];
  const lines = (cells: readonly string[]): string[] => {
    const wrapped = cells.map((cell, i) => wrap(cell, widths[i] ?? left));
    const height = Math.max(...wrapped.map(({ length }) => length));
    return Array.from({ length: height }, (_, row) =>
      wrapped
        .map((cell, i) => pad(cell[row] ?? '', widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  };
  const rule = widths.map((each) => '─'.repeat(each)).join('  ');
  const body = figures.flatMap((figure) => lines(cellsOf(figure)));
  return [...lines(HEADER), rule, ...body].join('\n');
}

function cellsOf(figure: Figure): string[] {
  const options = { onlyWrong: false };
  const reason = [reasonText(figure), allowanceText(figure)].filter((text) => text !== '');
  const ours = oursText(figure, options);
  return [
    judge(figure),
    figure.source,
    figure.claim,
    saidText(figure, options),
    reason.length === 0 ? ours : `${ours} (${reason.join('; ')})`,
    figure.formula,
  ];
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

function clip(text: string, width: number): string {
  return displayWidth(text) <= width
    ? text
    : `${[...text]
        .slice(0, width - 1)
        .join('')
        .trimEnd()}…`;
}

/** Breaks at spaces; a word wider than the column is broken where it must be. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => pieces(each, width))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && displayWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

function pieces(word: string, width: number): string[] {
  const characters = [...word];
  const count = Math.max(1, Math.ceil(characters.length / width));
  return Array.from({ length: count }, (_, i) =>
    characters.slice(i * width, (i + 1) * width).join(''),
  );
}

const COLOURS = {
  agrees: 'green',
  garbled: 'yellow',
  'not reproducible': 'magenta',
  invented: 'red',
} as const satisfies Record<Verdict, string>;

/** Colours the verdict at the start of a line, where the terminal shows colours. */
export function colourVerdicts(text: string, stream: NodeJS.WriteStream): string {
  return text.replace(/^(?:agrees|garbled|not reproducible|invented)(?= )/gm, (verdict) =>
    styleText(COLOURS[verdict as Verdict], verdict, { stream }),
  );
}
