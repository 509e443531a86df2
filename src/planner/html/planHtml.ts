/**
 * A plan as one page that needs nothing else: style, script, pictures and data are inside, and its
 * security policy forbids it to ask anybody for anything.
 */
import type { PlanExtras } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import { headline, phaseSection, planSection } from './headline.ts';
import { loadSection } from './loadChart.ts';
import { element, fragment, type Markup, verbatim } from './markup.ts';
import { memorySection } from './memoryChart.ts';
import { pairSection } from './pairTimeline.ts';
import { paretoFigure } from './paretoChart.ts';
import { rooflineSection } from './rooflineChart.ts';
import { styleSheet } from './styleSheet.ts';
import { candidateTable, derivedTable, sourceTable, whatIfTable } from './tables.ts';
import { timelineScript } from './timelineClient.ts';
import { timelineSection } from './timelineSection.ts';

interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

/** Only the block marked with this word runs; an inline handler, should one slip in, does not. */
const NONCE = 'moebius';

const POLICY = [
  "default-src 'none'",
  `style-src 'unsafe-inline'`,
  `script-src 'nonce-${NONCE}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export function planHtml(report: PlanReport, extras: PlanExtras): string {
  const sections = sectionsOf(report, extras);
  const title = `${report.model} on ${report.cluster}`;
  const page = element(
    'html',
    { lang: 'en' },
    element(
      'head',
      {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { 'http-equiv': 'Content-Security-Policy', content: POLICY }),
      element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      element('meta', { name: 'color-scheme', content: 'light dark' }),
      element('meta', { name: 'generator', content: 'moebius plan train' }),
      element('title', {}, `${title}: training plan`),
      element('style', {}, verbatim(styleSheet)),
    ),
    element(
      'body',
      {},
      element('a', { class: 'skip', href: '#main' }, 'Skip to the plan'),
      element(
        'header',
        {},
        element('h1', {}, title),
        element(
          'p',
          { class: 'muted' },
          `Training on ${report.numGpus.toLocaleString('en')} GPUs, simulated. Every number says ` +
            'where it is from.',
        ),
        headline(report, extras.cluster.gpu.memoryBytes),
        element(
          'nav',
          { 'aria-label': 'Sections' },
          element(
            'ul',
            {},
            ...sections.map(({ id, title: name }) =>
              element('li', {}, element('a', { href: `#${id}` }, name)),
            ),
          ),
        ),
      ),
      element(
        'main',
        { id: 'main' },
        ...sections.map(({ id, title: name, body }) =>
          element(
            'section',
            { id, 'aria-labelledby': `${id}-title` },
            element('h2', { id: `${id}-title` }, name),
            body,
          ),
        ),
      ),
      element('footer', {}, element('p', {}, 'Made by moebius plan train. No network was needed.')),
      extras.spans.length === 0
        ? null
        : element('script', { nonce: NONCE }, verbatim(timelineScript)),
    ),
  );
  return `<!doctype html>\n${page.markup}\n`;
}

function sectionsOf(report: PlanReport, extras: PlanExtras): readonly Section[] {
  const { cluster, spans, pairSpans, candidates, whatIfs, publishedRows } = extras;
  const { expertLoads = [] } = extras;
  const optional: readonly (Section | null)[] = [
    { id: 'plan', title: 'The plan', body: planSection(report, extras) },
    { id: 'phases', title: 'Phases of a step', body: phaseSection(report, publishedRows) },
    spans.length === 0
      ? null
      : { id: 'timeline-section', title: 'Timeline', body: timelineSection(report, spans) },
    report.overlap === null
      ? null
      : { id: 'pair', title: 'Inside a pair', body: pairSection(report.overlap, pairSpans) },
    {
      id: 'memory',
      title: 'Memory per rank',
      body: memorySection(report, cluster.gpu.memoryBytes),
    },
    report.operations.length === 0
      ? null
      : {
          id: 'roofline',
          title: 'Roofline',
          body: rooflineSection(report.operations, cluster.gpu),
        },
    candidates.length === 0
      ? null
      : {
          id: 'pareto',
          title: 'Other plans',
          body: fragment(paretoFigure(candidates), candidateTable(candidates)),
        },
    whatIfs.length === 0
      ? null
      : { id: 'what-if', title: 'What if', body: whatIfTable(report, whatIfs) },
    expertLoads.length === 0
      ? null
      : { id: 'expert-loads', title: 'Uneven experts', body: loadSection(expertLoads) },
    { id: 'sources', title: 'Sources and error bars', body: sourceTable(report) },
    { id: 'derived', title: 'Derived values', body: derivedTable(report, cluster) },
  ];
  return optional.filter((section) => section !== null);
}
