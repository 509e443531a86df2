/**
 * Writes docs/scorecard.md: published runs, planned again.
 *
 *     node scripts/scorecardPage.ts
 *
 * tests/cli/scorecard.test.ts holds the page to what the planner says today.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatLayout } from '../src/config/parallelPlan.ts';
import { excludedRuns } from '../src/planner/scorecard/excludedRuns.ts';
import { misses } from '../src/planner/scorecard/misses.ts';
import { groupScores, publishedScores, type Score } from '../src/planner/scorecard/score.ts';
import {
  GROUP_HEADER,
  groupCells,
  SCORE_HEADER,
  scoreCells,
} from '../src/planner/scorecard/scorecardTable.ts';

const PAGE: string = fileURLToPath(new URL('../docs/scorecard.md', import.meta.url));

export function scorecardPage(): string {
  const scores = publishedScores();
  const missed = scores.filter(({ run }) => misses[run.name] !== undefined);
  return [
    '# Published runs, planned again',
    '',
    'Written by `node scripts/scorecardPage.ts`; `moebius plan scorecard` shows the same on a',
    'terminal. Others measured these training runs; no second of the planner was fitted to them,',
    'and no part of it but this table may read them (`src/planner/scorecard`; a test). The bar',
    'is the one a plan prints: nine of ten measurements should lie inside. Sought are a median',
    'error of 10 %, no row above 25 %, nine of ten inside.',
    '',
    row(GROUP_HEADER),
    row(GROUP_HEADER.map((_, i) => (i === 0 ? '---' : '--:'))),
    ...groupScores(scores).map((each) => row(groupCells(each))),
    '',
    'Bias is the median with its sign: below zero the planner promises too much.',
    '',
    '## Runs',
    '',
    row(SCORE_HEADER),
    row(SCORE_HEADER.map((_, i) => (i === 0 ? '---' : '--:'))),
    ...scores.map((score) => row(scoreCells(score))),
    '',
    '## Rows that are off by more than 25 %, and why',
    '',
    ...(missed.length === 0 ? ['None.'] : missed.map(missLine)),
    '',
    '## What each run was, and what differs from how it is described here',
    '',
    ...scores.map(runLine),
    '',
    '## Runs that were left out',
    '',
    row(['run', 'published', 'why', 'source']),
    row(['---', '---', '---', '---']),
    ...excludedRuns.map(({ run, published, why, source }) => row([run, published, why, source])),
    '',
  ].join('\n');
}

function missLine(score: Score): string {
  const [name, , , , error] = scoreCells(score);
  return `- **${name}**, ${error}: ${misses[score.run.name]}`;
}

function runLine({ run }: Score): string {
  const { plan, notes, assumed } = run;
  const { layout, schedule, chunksPerRank, globalBatch, microBatchSize, sequenceLength } = plan;
  const chunks = chunksPerRank > 1 ? ` of ${chunksPerRank} chunks` : '';
  const batch = `${globalBatch} × ${sequenceLength} in micro-batches of ${microBatchSize}`;
  const parts = [
    `\`${formatLayout(layout)}\`, ${schedule}${chunks}, ${batch}, recompute ${plan.recompute}`,
    ...notes,
    ...assumed.map((each) => `assumed: ${each}`),
    `source: ${run.source}`,
  ];
  return `- **${run.name}**: ${parts.join('; ')}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, scorecardPage());
