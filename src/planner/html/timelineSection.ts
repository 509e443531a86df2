/**
 * The timeline's place in the page: legend, buttons, canvas, and the same in numbers for those who
 * do not see it.
 */
import { formatPercent } from '../../base/units.ts';
import type { TimelineSpan } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import { formatStep } from '../quantities.ts';
import { legend } from './chart.ts';
import { dataScript, element, fragment, type Markup } from './markup.ts';
import { rankName } from './memoryChart.ts';
import { table } from './tables.ts';
import { packTimeline, type TimelineKind } from './timelineData.ts';

const NAMES: Readonly<Record<TimelineKind, string>> = {
  forward: 'forward',
  backward: 'backward (of inputs, or whole)',
  weight: 'weight gradients',
  pair: 'forward over backward',
  communication: 'transfers',
  optimizer: 'optimizer',
  other: 'other',
};

const BUTTONS: readonly { readonly action: string; readonly name: string }[] = [
  { action: 'closer', name: 'Zoom in' },
  { action: 'wider', name: 'Zoom out' },
  { action: 'earlier', name: '← Earlier' },
  { action: 'later', name: 'Later →' },
  { action: 'all', name: 'Whole step' },
];

export function timelineSection(report: PlanReport, spans: readonly TimelineSpan[]): Markup {
  const { data, kinds, notes } = packTimeline(spans);
  const numRanks = data.ranks.length;
  const place = numRanks === 1 ? 'one rank' : `the ${numRanks} ranks of one pipeline`;
  const label =
    `Timeline of ${place} over ${formatStep(report.stepSeconds)}. ` +
    'Arrow keys go from span to span, plus and minus zoom, shift and arrows move.';
  return fragment(
    element(
      'p',
      {},
      `One step on ${place}; all others are alike. Drag to move, hold Ctrl (or ⌘) and turn the ` +
        'wheel to zoom, point at a span to read it.',
    ),
    legend([
      ...Object.entries(NAMES)
        .filter(([kind]) => kinds.has(kind as TimelineKind))
        .map(([kind, name]) => ({ kind, name })),
      { kind: 'bubble', name: 'bubble: waiting' },
    ]),
    element(
      'div',
      { id: 'timeline' },
      element(
        'div',
        { class: 'toolbar', role: 'toolbar', 'aria-label': 'Timeline view' },
        ...BUTTONS.map(({ action, name }) =>
          element('button', { type: 'button', 'data-action': action }, name),
        ),
      ),
      element(
        'div',
        { class: 'stage' },
        element('canvas', {
          id: 'timeline-canvas',
          tabindex: 0,
          role: 'img',
          'aria-label': label,
          'aria-describedby': 'timeline-said',
        }),
        element('div', { id: 'timeline-tip', hidden: '' }),
      ),
      element('p', { id: 'timeline-said', 'aria-live': 'polite' }),
      element('noscript', {}, 'The timeline is drawn by a script, which is switched off here.'),
    ),
    ...notes.map((note) => element('p', { class: 'muted' }, note)),
    phasesPerRank(report),
    dataScript('timeline-data', data),
  );
}

function phasesPerRank({ ranks, stepSeconds }: PlanReport): Markup {
  const heads = ['1F', 'bubble', '1B', '1W', '1F1B', 'optimizer'] as const;
  return element(
    'details',
    {},
    element('summary', {}, 'Every rank in numbers'),
    table(
      'Phases per rank',
      [
        { head: 'rank' },
        ...heads.map((head) => ({ head, kind: 'number' as const })),
        { head: 'bubble share', kind: 'number' },
      ],
      ranks.map((rank) => ({
        cells: [
          rankName(rank),
          ...heads.map((head) => formatStep(rank.phases[head])),
          formatPercent(rank.phases.bubble / stepSeconds),
        ],
      })),
    ),
  );
}
