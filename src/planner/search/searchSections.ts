/**
 * What a search found, as sections for a terminal: the front, the shapes, and which of thousands of
 * candidates are worth a line.
 */
import { formatBytes, formatCount, formatPercent } from '../../base/units.ts';
import { formatDays, formatDollars, formatStep } from '../quantities.ts';
import type { ShapeResult } from '../shapes/searchShapes.ts';
import type { TextSection } from '../textReport.ts';
import type { SearchedPlan, SearchResult } from './searchRequest.ts';

/** Of a kind of reason so many losers tell enough. */
const LOSERS_OF_A_KIND = 2;

/**
 * The best, the front and the runners-up, then of each kind of reason the losers that came nearest.
 */
export function worthShowing(result: SearchResult, numRunnersUp = 9): readonly SearchedPlan[] {
  const { candidates, pareto, best } = result;
  const shown = new Set<SearchedPlan>([best, ...pareto]);
  for (const plan of candidates.filter(({ isSimulated }) => isSimulated)) {
    if (shown.size >= pareto.length + 1 + numRunnersUp) break;
    shown.add(plan);
  }
  const told = new Map<string, number>();
  for (const plan of candidates) {
    const [kind = ''] = /^[A-Z][a-z]+( [a-z]+)?/.exec(plan.reason) ?? [];
    const times = told.get(kind) ?? 0;
    if (shown.has(plan) || times >= LOSERS_OF_A_KIND) continue;
    told.set(kind, times + 1);
    shown.add(plan);
  }
  return candidates.filter((plan) => shown.has(plan));
}

export function searchSection(result: SearchResult): TextSection {
  const { candidates, numPlans, numFitting, seconds } = result;
  const simulated = candidates.filter(({ isSimulated }) => isSimulated).length;
  const speed = seconds === null ? '' : ` in ${seconds.toFixed(1)} s`;
  return {
    title: 'Search',
    rows: [
      ['plans priced', `${numPlans}${speed}`],
      ['fit', String(numFitting)],
      ['simulated in full', String(simulated)],
    ],
    notes: ['Steps of plans that were not simulated are of the cheap model.'],
  };
}

export function paretoSection({ pareto }: SearchResult): TextSection {
  return {
    title: 'Days against dollars',
    header: ['GPUs', 'plan', 'days', 'cost', 'step', 'MFU', 'why'],
    rows: pareto.map((plan) => [
      String(plan.numGpus),
      `${plan.isBest ? '★ ' : ''}${plan.label}`,
      formatDays(plan.days),
      formatDollars(plan.dollars),
      formatStep(plan.stepSeconds),
      formatPercent(plan.mfuCausal),
      plan.reason,
    ]),
    notes: [],
  };
}

export function shapesSection({ rows, refused, note }: ShapeResult): TextSection {
  return {
    title: 'Shapes of the model',
    header: ['shape', 'parameters', 'active', 'KV a token', 'tokens a day', '$ a T tokens', 'plan'],
    rows: rows.map((row) => [
      `${row.isToday ? '★ ' : ''}${row.label}`,
      formatCount(row.totalParameters),
      formatCount(row.activeParameters),
      formatBytes(row.kvBytesPerToken),
      formatCount(row.tokensPerDay),
      formatDollars(row.dollarsPerTrillionTokens),
      row.best.label,
    ]),
    notes: [note, ...refused.map(({ label, why }) => `Left out: ${label}: ${why}.`)],
  };
}
