/**
 * Seconds of each cost class in a trace, by pass and by layer where annotations tell them: what a
 * calibration compares with prices.
 *
 * A price is for a kernel that has the chip (or the network) to itself, so kernels of several
 * streams that run at once count the time they share once: DeepSeek's profile has half of the
 * experts' weight gradients on a second stream. Computing and communication do not share: the SMs
 * are divided between them beforehand.
 */
import { at } from '../../base/assert.ts';
import type { PassName } from '../cost/stageWork.ts';
import { type ClassifiedDevice, type ClassifiedSpan, classifyDevices } from './classifySpans.ts';
import { type CostClass, costClassOf, passOfPhase } from './costClasses.ts';
import type { Trace } from './deviceTrace.ts';
import { fairShares } from './intervals.ts';
import type { KernelRule } from './kernelClasses.ts';
import { spansByPhase } from './phases.ts';

export interface MeasuredWork {
  readonly class: CostClass;
  /** Null where no annotation names a pass. */
  readonly pass: PassName | null;
  readonly count: number;
  /** Over its kernels, all devices together; shared time is divided. */
  readonly seconds: number;
}

export interface MeasuredClasses {
  readonly work: readonly MeasuredWork[];
  /** Sums of one class in each layer, for classes that every layer has; else empty. */
  readonly byLayer: ReadonlyMap<CostClass, readonly number[]>;
  readonly numDevices: number;
  /** Time of classes that have no price. */
  readonly unpricedSeconds: number;
}

export function measureClasses(trace: Trace, rules: readonly KernelRule[] = []): MeasuredClasses {
  const sums = new Map<string, { -readonly [K in keyof MeasuredWork]: MeasuredWork[K] }>();
  const layers = new Map<CostClass, Map<number, number>>();
  const occurrences = new Set<number>();
  let unpriced = 0;
  const devices = classifyDevices(trace.devices, rules);
  const times = new Map(devices.flatMap(sharedTimes));
  const add = (span: ClassifiedSpan, pass: PassName | null, layer: number | null): void => {
    const costClass = costClassOf[span.kernelClass];
    const seconds = (times.get(span) ?? 0) / 1e6;
    if (costClass === null) {
      unpriced += seconds;
      return;
    }
    const key = `${costClass} ${pass}`;
    const sum = sums.get(key) ?? { class: costClass, pass, count: 0, seconds: 0 };
    sums.set(key, sum);
    sum.count++;
    sum.seconds += seconds;
    if (layer === null) return;
    const ofClass = layers.get(costClass) ?? new Map<number, number>();
    layers.set(costClass, ofClass);
    ofClass.set(layer, (ofClass.get(layer) ?? 0) + seconds);
  };
  for (const device of devices) {
    const phased = new Set<ClassifiedSpan>();
    for (const { name, occurrence, spans } of spansByPhase(trace, device)) {
      const pass = passOfPhase(name);
      if (pass !== null) occurrences.add(occurrence);
      for (const span of spans) {
        phased.add(span);
        add(span, pass, pass === null ? null : occurrence);
      }
    }
    for (const span of device.streams.flatMap(({ spans }) => spans)) {
      if (!phased.has(span)) add(span, null, null);
    }
  }
  const byLayer = new Map(
    [...layers]
      .filter(([, sumsOfLayers]) => sumsOfLayers.size === occurrences.size && occurrences.size > 1)
      .map(([name, sumsOfLayers]) => [name, [...sumsOfLayers.values()]] as const),
  );
  const work = [...sums.values()].sort((a, b) => b.seconds - a.seconds);
  return { work, byLayer, numDevices: devices.length, unpricedSeconds: unpriced };
}

/** Microseconds of each span, computing and communication each among themselves. */
function sharedTimes(device: ClassifiedDevice): [ClassifiedSpan, number][] {
  const spans = device.streams.flatMap((stream) => stream.spans);
  return [
    spans.filter(({ role }) => role === 'compute'),
    spans.filter(({ role }) => role !== 'compute'),
  ].flatMap((lane) => {
    const shares = fairShares(lane);
    return lane.map((span, i): [ClassifiedSpan, number] => [span, at(shares, i)]);
  });
}
