/** The plan's report on a terminal: sections of `planner/textReport.ts`, aligned. */
import type { TextSection } from '../../planner/textReport.ts';
import { formatTable } from '../output.ts';

export function formatSections(sections: readonly TextSection[]): string {
  return sections
    .map(({ title, header, rows, notes }) =>
      [title, ...(rows.length > 0 ? [formatTable(rows, header)] : []), ...notes].join('\n'),
    )
    .join('\n\n');
}
