/**
 * Fits the cost model to somebody's own trace: one factor for each class of operations.
 *
 * With measured seconds M and predicted seconds P of a class in each pass p (forward, backward of
 * the input, weight gradients),
 *
 *   factor = Σ M_p / Σ P_p         which keeps the class's total,
 *   residual² = Σ w_p (M_p / (factor P_p) − 1)²,   w_p = P_p / Σ P
 *
 * over the passes that the trace has, so the residual is what one factor leaves open between them;
 * the spread is the standard deviation of one layer's total over its mean. Both together are the
 * class's error from then on.
 *
 * A calibration is a user's own choice for a user's own cluster. The constants that this project
 * ships with come from published kernel tables and never from a trace.
 */
import { MoebiusError } from '../base/errors.ts';
import type { PassName } from './cost/stageWork.ts';
import { tracedClass } from './trace/costClasses.ts';
import type { MeasuredClasses } from './trace/measureClasses.ts';

/** Prices of all that the trace covers, summed over its layers and micro-batches. */
export interface PredictedWork {
  readonly class: string;
  readonly pass: PassName;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
  /** What peak or bandwidth alone would take. */
  readonly limitSeconds: number;
}

export interface CalibratedClass {
  readonly name: string;
  /** Measured over predicted: prices are multiplied by it. */
  readonly factor: number;
  /** Null where the trace has one number only, with nothing to compare it with. */
  readonly relativeError: number | null;
  readonly residual: number | null;
  readonly spread: number | null;
  readonly count: number;
  readonly measuredSeconds: number;
  readonly predictedSeconds: number;
  readonly flopsPerSecond: number;
  /** Of transfers to experts: one row for each token and expert. */
  readonly bytesPerSecond: number;
  /** Of peak or bandwidth, whichever bounds it. */
  readonly shareOfLimit: number;
}

export interface CalibrationSource {
  readonly trace: string;
  readonly gpu: string | null;
  readonly model: string;
  readonly cluster: string;
  readonly layout: string;
  readonly layers: number;
}

/** What `moebius calibrate --out` writes and `plan train --calibration` reads. */
export interface Calibration {
  readonly format: 'moebius-calibration';
  readonly version: 1;
  /** ISO date, passed in. */
  readonly madeOn: string;
  readonly source: CalibrationSource;
  readonly classes: readonly CalibratedClass[];
}

export interface CalibrationResult {
  readonly calibration: Calibration;
  /** Classes of the trace that have no price, and priced classes that the trace lacks. */
  readonly unpredicted: readonly { readonly name: string; readonly seconds: number }[];
  readonly unmeasured: readonly { readonly name: string; readonly seconds: number }[];
  readonly notices: readonly string[];
}

/**
 * A factor beyond this, of a class that counts, more likely means another model, layout or number
 * of layers.
 */
const SUSPICIOUS = 3;

/** @throws calibrate.noMatch when no class is both measured and predicted */
export function calibrate(
  measured: MeasuredClasses,
  predicted: readonly PredictedWork[],
  about: Pick<Calibration, 'madeOn' | 'source'>,
): CalibrationResult {
  const { work, byLayer, numDevices } = measured;
  const prices = Map.groupBy(asRecorded(predicted, work), (each) => tracedClass(each.class));
  const times = Map.groupBy(work, (each) => each.class);
  const classes: CalibratedClass[] = [];
  for (const [name, ofClass] of times) {
    const passes = new Set(ofClass.map(({ pass }) => pass));
    const ofPasses = prices.get(name)?.filter(({ pass }) => passes.has(null) || passes.has(pass));
    const priced = ofPasses ?? [];
    if (sum(priced, 'seconds') <= 0) continue;
    // Ranks do the same work: their mean is what one rank's prices are compared with.
    const ofRank = ofClass.map((each) => ({ ...each, seconds: each.seconds / numDevices }));
    const layers = byLayer.get(name) ?? [];
    const one = calibrateClass(ofRank, priced, layers);
    if (one.measuredSeconds > 0) classes.push({ name, ...one });
  }
  if (classes.length === 0) {
    throw new MoebiusError('calibrate.noMatch', 'no class of the trace has a price', {
      values: { measured: [...times.keys()], predicted: [...prices.keys()] },
      hint: 'Give the trace of a training step, and the model and layout it ran with.',
    });
  }
  return {
    calibration: { format: 'moebius-calibration', version: 1, ...about, classes },
    unpredicted: [...times]
      .filter(([name]) => !classes.some((each) => each.name === name))
      .map(([name, each]) => ({ name, seconds: sum(each, 'seconds') / numDevices })),
    unmeasured: [...prices]
      .filter(([name]) => !times.has(name as (typeof work)[number]['class']))
      .map(([name, each]) => ({ name, seconds: sum(each, 'seconds') })),
    notices: classes
      .filter(({ measuredSeconds }) => measuredSeconds > 0.01 * sum(classes, 'measuredSeconds'))
      .filter(({ factor }) => factor > SUSPICIOUS || factor < 1 / SUSPICIOUS)
      .map(
        ({ name, factor }) =>
          `${name} is ${factor.toFixed(2)} times its price: check model, layout and layers`,
      ),
  };
}

/** Where no phase is for weight gradients, they are part of backward. */
function asRecorded(
  predicted: readonly PredictedWork[],
  work: MeasuredClasses['work'],
): readonly PredictedWork[] {
  if (work.some(({ pass }) => pass === 'backwardWeight')) return predicted;
  return predicted.map((each) =>
    each.pass === 'backwardWeight' ? { ...each, pass: 'backwardInput' } : each,
  );
}

function calibrateClass(
  measured: readonly MeasuredClasses['work'][number][],
  predicted: readonly PredictedWork[],
  layers: readonly number[],
): Omit<CalibratedClass, 'name'> {
  const [measuredSeconds, predictedSeconds] = [sum(measured, 'seconds'), sum(predicted, 'seconds')];
  const factor = measuredSeconds / predictedSeconds;
  const residual = residualOf(measured, predicted, factor);
  const spread = spreadOf(layers);
  const isKnown = residual !== null || spread !== null;
  return {
    factor,
    relativeError: isKnown ? Math.hypot(residual ?? 0, spread ?? 0) : null,
    residual,
    spread,
    count: sum(measured, 'count'),
    measuredSeconds,
    predictedSeconds,
    flopsPerSecond: measuredSeconds === 0 ? 0 : sum(predicted, 'flops') / measuredSeconds,
    bytesPerSecond: measuredSeconds === 0 ? 0 : sum(predicted, 'bytes') / measuredSeconds,
    shareOfLimit: measuredSeconds === 0 ? 0 : sum(predicted, 'limitSeconds') / measuredSeconds,
  };
}

/** Null unless every measured pass is named and at least two passes have prices. */
function residualOf(
  measured: readonly MeasuredClasses['work'][number][],
  predicted: readonly PredictedWork[],
  factor: number,
): number | null {
  if (measured.some(({ pass }) => pass === null)) return null;
  const passes = [...new Set(predicted.map(({ pass }) => pass))];
  const pairs = passes
    .map((name) => ({
      measured: sum(
        measured.filter(({ pass }) => pass === name),
        'seconds',
      ),
      predicted: sum(
        predicted.filter(({ pass }) => pass === name),
        'seconds',
      ),
    }))
    .filter((pair) => pair.predicted > 0);
  if (pairs.length < 2) return null;
  const total = sum(pairs, 'predicted');
  const squares = pairs.map(
    (pair) => (pair.predicted / total) * (pair.measured / (factor * pair.predicted) - 1) ** 2,
  );
  return Math.sqrt(squares.reduce((all, each) => all + each, 0));
}

function spreadOf(layers: readonly number[]): number | null {
  if (layers.length < 2) return null;
  const mean = layers.reduce((all, each) => all + each, 0) / layers.length;
  const variance = layers.reduce((all, each) => all + (each - mean) ** 2, 0) / (layers.length - 1);
  return mean === 0 ? null : Math.sqrt(variance) / mean;
}

function sum<K extends string>(list: readonly Readonly<Record<K, number>>[], key: K): number {
  return list.reduce((total, each) => total + each[key], 0);
}
