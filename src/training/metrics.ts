/**
 * What a run leaves behind in numbers: one JSON line per event, and named scalars for curves.
 *
 * Two tiers: *brief*, the run's scalars; *detailed*, every MoE layer too. A cap on the number of
 * scalars keeps a 61-layer model from drowning its dashboard; what it cuts is counted, not hidden.
 */
import { utilisation } from '../policy/routing/biasUpdate.ts';
import type { Span } from '../program/span.ts';
import type { EvaluationEvent, StepReport, TrainingEvent, TrainingObserver } from './events.ts';
import type { LayerBalance } from './routingSummary.ts';
import type { TensorBoardWriter } from './tensorBoard.ts';

export interface MetricsOptions {
  readonly tier: 'brief' | 'detailed';
  /** Scalars per step at most. */
  readonly maxKeys: number;
}

export interface Scalars {
  readonly scalars: readonly (readonly [string, number])[];
  readonly numLeftOut: number;
}

/** Named `group/name`, layers as `layer03/name`: dashboards fold what stands before the slash. */
export function stepScalars(report: StepReport, { tier, maxKeys }: MetricsOptions): Scalars {
  const all =
    tier === 'brief' ? briefScalars(report) : [...briefScalars(report), ...layerScalars(report)];
  return { scalars: all.slice(0, maxKeys), numLeftOut: Math.max(0, all.length - maxKeys) };
}

export function evaluationScalars(event: EvaluationEvent): Scalars['scalars'] {
  return [
    ['validation/bitsPerByte', event.bitsPerByte],
    ['validation/lossPerToken', event.lossPerToken],
  ];
}

/** One line of JSON with its line break. NaN and infinities, which JSON has not, become strings. */
export function jsonLine(event: TrainingEvent, options: MetricsOptions): string {
  const shown = event.kind === 'step' ? stepRecord(event, options) : event;
  return `${JSON.stringify(shown, speakable)}\n`;
}

/** Writes a run's curves, samples and expert loads as they come. */
export function tensorBoardObserver(
  writer: TensorBoardWriter,
  options: MetricsOptions,
): TrainingObserver {
  return async (event) => {
    switch (event.kind) {
      case 'step':
        await writer.scalars(event.step, stepScalars(event, options).scalars);
        if (options.tier === 'brief') return;
        for (const { layer, tokensPerExpert } of event.routing) {
          const tag = `expertLoad/${layerName(layer)}`;
          await writer.histogram(event.step, tag, utilisation(tokensPerExpert));
        }
        return;
      case 'evaluation':
        return writer.scalars(event.step, evaluationScalars(event));
      case 'sample':
        return writer.text(event.step, `sample/${event.prompt}`, `${event.prompt}${event.text}`);
      case 'intervention':
        return writer.text(event.step, `guard/${event.action}`, event.incident.message);
      case 'start':
      case 'checkpoint':
      case 'end':
        return;
      default:
        return event satisfies never;
    }
  };
}

/** Several observers as one; each is waited for, in order. */
export function observeAll(observers: readonly TrainingObserver[]): TrainingObserver {
  return async (event) => {
    for (const observer of observers) await observer(event);
  };
}

function briefScalars(report: StepReport): readonly (readonly [string, number])[] {
  const { balance } = report;
  return known([
    ['train/loss', report.loss],
    ['train/smoothedLoss', report.smoothedLoss],
    ['train/mainLoss', report.mainLoss],
    ...report.mtpLossPerDepth.map((loss, k) => [`train/mtpLoss${k + 1}`, loss] as const),
    ['train/balanceLoss', report.balanceLoss],
    ['train/gradientNorm', report.gradientNorm],
    ['schedule/learningRate', report.learningRate],
    ['schedule/mtpWeight', report.mtpWeight],
    ['schedule/biasSpeed', report.biasSpeed],
    ['schedule/sequences', report.sequences],
    ['progress/tokens', report.tokens],
    ['progress/epochs', report.epochs],
    ['progress/flops', report.flops],
    ['speed/stepSeconds', report.seconds],
    ['speed/predictedStepSeconds', report.predictedSeconds],
    ['speed/tokensPerSecond', report.tokensPerSecond],
    ['speed/shareOfPeak', report.shareOfPeak],
    ['speed/dataShare', report.dataShare],
    ['speed/memoryBytes', report.memoryBytes],
    ['experts/maxVioMean', balance?.maxVioMean],
    ['experts/maxVioMax', balance?.maxVioMax],
    ['experts/dead', balance?.deadExperts],
    ['experts/biasMin', balance?.biasMin],
    ['experts/biasMax', balance?.biasMax],
  ]);
}

function layerScalars({ balance }: StepReport): readonly (readonly [string, number])[] {
  return (balance?.layers ?? []).flatMap((layer) =>
    Object.entries(layer)
      .filter(([name]) => name !== 'layer')
      .map(([name, value]) => [`${layerName(layer.layer)}/${name}`, value as number] as const),
  );
}

function known(
  entries: readonly (readonly [string, number | null | undefined])[],
): readonly (readonly [string, number])[] {
  return entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number');
}

function layerName(layer: number): string {
  return `layer${String(layer).padStart(2, '0')}`;
}

/** Steps from one line with every expert of every layer, and with the step's spans, to the next. */
const DETAILS_EVERY = 10;

function hasDetails({ step }: StepReport): boolean {
  return step === 1 || step % DETAILS_EVERY === 0;
}

/**
 * Every expert of every layer, whatever the cap: how many choices it got and what its router adds
 * to it, a row for each layer. A model of 58 layers with 256 experts writes some 150 kB every tenth
 * step.
 */
function expertRows({ routing }: StepReport): object {
  return {
    layers: routing.map(({ layer }) => layer),
    tokens: routing.map(({ tokensPerExpert }) => tokensPerExpert),
    bias: routing.map(({ bias }) => Array.from(bias, (value) => Number(value.toFixed(6)))),
  };
}

/** What ran when, and when the simulated executor would have, in seconds since the step's first. */
function timelineRows({ spans, predictedSpans }: StepReport): object {
  return { real: sinceTheFirst(spans), simulated: sinceTheFirst(predictedSpans) };
}

function sinceTheFirst(spans: readonly Span[]): readonly object[] {
  const first = spans.reduce(
    (least, { start }) => Math.min(least, start),
    Number.POSITIVE_INFINITY,
  );
  const microseconds = (time: number): number => Number((time - first).toFixed(6));
  return spans.map(({ rank, name, stage, microBatch, start, end }) => ({
    ...{ rank, name },
    ...(stage === undefined ? {} : { stage }),
    ...(microBatch === undefined ? {} : { microBatch }),
    ...{ start: microseconds(start), end: microseconds(end) },
  }));
}

/** A report; per-layer rows, expert loads and spans as the tier, the cap and the step allow. */
function stepRecord(report: StepReport, { tier, maxKeys }: MetricsOptions): object {
  const { spans: _spans, predictedSpans: _predicted, routing, balance, ...scalars } = report;
  const timeline =
    tier === 'detailed' && hasDetails(report) ? { timeline: timelineRows(report) } : {};
  if (balance === null) return { ...scalars, balance, ...timeline };
  const { layers, ...summary } = balance;
  if (tier === 'brief') return { ...scalars, balance: summary };
  const rows: readonly (LayerBalance & { readonly utilisation?: readonly number[] })[] = layers.map(
    (layer, index) => {
      const loads = utilisation(routing[index]?.tokensPerExpert ?? []);
      return { ...layer, utilisation: Array.from(loads, (load) => Number(load.toFixed(4))) };
    },
  );
  const numbers = rows.map((row) => Object.keys(row).length + (row.utilisation?.length ?? 0));
  let shown = 0;
  for (let total = 0; shown < rows.length; shown++) {
    total += numbers[shown] ?? 0;
    if (total > maxKeys) break;
  }
  const leftOut = rows.length - shown;
  return {
    ...scalars,
    balance: { ...summary, layers: rows.slice(0, shown) },
    ...(leftOut === 0 ? {} : { layersLeftOut: leftOut }),
    ...(hasDetails(report) ? { experts: expertRows(report) } : {}),
    ...timeline,
  };
}

function speakable(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
