/** `moebius plan scorecard`: published runs planned again, and how far the planner is off. */
import { groupScores, publishedScores } from '../../planner/scorecard/score.ts';
import {
  GROUP_HEADER,
  groupCells,
  SCORE_HEADER,
  scoreCells,
  scoreRecord,
} from '../../planner/scorecard/scorecardTable.ts';
import { formatTable, type OutputOptions, printResult } from '../output.ts';

export async function scorecard(options: OutputOptions): Promise<void> {
  const scores = publishedScores();
  const groups = groupScores(scores);
  printResult(options, {
    table: [
      formatTable(scores.map(scoreCells), SCORE_HEADER),
      formatTable(groups.map(groupCells), GROUP_HEADER),
      'Sources, notes and why rows are off: docs/scorecard.md',
    ].join('\n\n'),
    json: { groups, runs: scores.map(scoreRecord) },
  });
}
