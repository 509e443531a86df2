/** `moebius figures`: the audit of what is said about DeepSeek-V3, on one screen or whole. */
import {
  countVerdicts,
  figureGroups,
  figureRecord,
  findGroup,
} from '../../planner/figures/audit.ts';
import { colourVerdicts, formatGroups, formatOverview } from '../figuresTable.ts';
import { type OutputOptions, printResult } from '../output.ts';

export interface FiguresOptions extends OutputOptions {
  readonly group?: readonly string[];
  readonly all?: boolean;
}

/** What a table needs where nobody knows the terminal's width: in a pipe, in a file. */
const PLAIN_WIDTH = 120;

export async function figures(options: FiguresOptions): Promise<void> {
  const wanted = options.group?.map(findGroup);
  const groups = wanted ?? figureGroups;
  const isOverview = wanted === undefined && options.all !== true;
  const view = { width: process.stdout.columns ?? PLAIN_WIDTH };
  const table = isOverview
    ? `${formatOverview(view)}\n\nAll of it: moebius figures --all; one group: --group report`
    : formatGroups(groups, view);
  const chosen = groups.flatMap((group) => group.figures);
  printResult(options, {
    table: colourVerdicts(table, process.stdout),
    json: {
      counts: countVerdicts(chosen),
      groups: groups.map(({ number, name, title, figures: each }) => ({
        number,
        name,
        title,
        counts: countVerdicts(each),
      })),
      figures: chosen.map(figureRecord),
    },
  });
}
