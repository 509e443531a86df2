/**
 * Writes docs/figures.md, the audit of published figures as a page.
 *
 *     node scripts/figuresPage.ts
 *
 * tests/cli/figures.test.ts holds the page to what the code says today.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { countVerdicts, figureGroups, sourceNames } from '../src/planner/figures/audit.ts';
import { type Figure, judge, verdicts } from '../src/planner/figures/figure.ts';
import {
  allowanceText,
  oursText,
  reasonText,
  saidText,
} from '../src/planner/figures/figureText.ts';

const PAGE: string = fileURLToPath(new URL('../docs/figures.md', import.meta.url));

export function figuresPage(): string {
  const all = figureGroups.flatMap(({ figures }) => figures);
  const counts = figureGroups.map(({ number, title, figures }) => {
    const byVerdict = countVerdicts(figures);
    return row([`${number}, ${title}`, figures.length, ...verdicts.map((each) => byVerdict[each])]);
  });
  const total = countVerdicts(all);
  const sum = row(['all', all.length, ...verdicts.map((each) => total[each])]);
  return [
    '# Published figures, computed again',
    '',
    'Written by `node scripts/figuresPage.ts`; `moebius figures` shows the same on a terminal.',
    'Every value of ours comes from the counts, formulas and presets of this project; what the',
    'sources give as inputs is in `src/planner/figures/facts.ts`. A printed number agrees when our',
    'value rounds to its digits, or lies within an allowance that is named beside it.',
    '',
    '- **agrees**: our value is the printed one',
    '- **garbled**: it is not, but a slip that is named gives the printed number (a reading that',
    '  fits; what its author really did is not known)',
    '- **not reproducible**: no formula gives the number, or nothing published speaks of it',
    '- **invented**: what is published gives another figure, or speaks against the claim',
    '',
    row(['group', 'figures', ...verdicts]),
    row(['---', '--:', ...verdicts.map(() => '--:')]),
    ...counts,
    sum,
    '',
    '| source | is |',
    '| --- | --- |',
    ...sourceNames.map((names) => row(names)),
    ...figureGroups.flatMap(({ number, title, figures }) => [
      '',
      `## Group ${number}: ${title}`,
      '',
      row(['claim', 'source', 'said', 'ours', 'formula', 'verdict']),
      row(['---', '---', '---', '---', '---', '---']),
      ...figures.map(figureRow),
    ]),
    '',
  ].join('\n');
}

function figureRow(figure: Figure): string {
  const options = { onlyWrong: false };
  const verdict = [
    `**${judge(figure)}**`,
    ...[reasonText(figure), allowanceText(figure)].filter((text) => text !== ''),
  ].join(': ');
  const { claim, source, formula } = figure;
  return row([
    claim,
    source,
    saidText(figure, options),
    oursText(figure, options),
    formula,
    verdict,
  ]);
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, figuresPage());
