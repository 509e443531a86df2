/**
 * Memory of every pipeline rank at its fullest, stacked, against what a GPU has.
 */
import { formatBytes, formatPercent } from '../../base/units.ts';
import { memoryParts } from '../memoryParts.ts';
import type { PlanReport, RankReport } from '../planReport.ts';
import { legend, stackedBar } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { table } from './tables.ts';

export function memorySection({ ranks }: PlanReport, capacityBytes: number): Markup {
  const fullest = ranks.reduce((most, { memoryBytes }) => Math.max(most, memoryBytes), 0);
  const scale = Math.max(capacityBytes, fullest) * 1.02;
  const summary =
    `The fullest rank holds ${formatBytes(fullest)} of ${formatBytes(capacityBytes)} ` +
    `(${formatPercent(fullest / capacityBytes, 0)}). The red line is what a GPU has.`;
  return fragment(
    element('p', {}, summary),
    legend(memoryParts),
    table(
      'Memory per rank',
      [{ head: 'rank' }, { head: 'memory', kind: 'bar' }, { head: 'total', kind: 'number' }],
      ranks.map((rank) => ({
        cells: [
          rankName(rank),
          stackedBar(
            memoryParts.map(({ key, name, kind }) => ({
              kind,
              value: rank.memory[key],
              title: `${name}: ${formatBytes(rank.memory[key])}`,
            })),
            { scale, mark: capacityBytes },
          ),
          formatBytes(rank.memoryBytes),
        ],
      })),
    ),
    element(
      'details',
      {},
      element('summary', {}, 'Every part in numbers'),
      table(
        'Memory in numbers',
        [
          { head: 'rank' },
          ...memoryParts.map(({ name }) => ({ head: name, kind: 'number' as const })),
        ],
        ranks.map((rank) => ({
          cells: [rankName(rank), ...memoryParts.map(({ key }) => formatBytes(rank.memory[key]))],
        })),
      ),
    ),
  );
}

/** `3 · layers 10–13, 47–50`. */
export function rankName({ rank, stages }: RankReport): Markup {
  const layers = stages.map(({ first, last }) => {
    if (last <= first) return 'none';
    return last - first === 1 ? `${first}` : `${first}–${last - 1}`;
  });
  return fragment(
    String(rank),
    element('span', { class: 'muted roomy' }, ` · layers ${layers.join(', ')}`),
  );
}
