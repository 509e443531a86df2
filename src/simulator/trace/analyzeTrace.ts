/**
 * What a trace says, as one report in seconds: per device the streams, classes, overlap, idle time
 * and phases, and the critical path through all of it.
 */
import { type ClassifiedDevice, type ClassifiedSpan, classifyDevices } from './classifySpans.ts';
import { type CriticalPath, criticalPath } from './criticalPath.ts';
import type { Trace } from './deviceTrace.ts';
import { gapsWithin, type Interval, lengthOf, union, windowOf } from './intervals.ts';
import { type KernelClass, type KernelRole, type KernelRule, roleOf } from './kernelClasses.ts';
import { shortKernelName } from './kernelName.ts';
import { measureOverlap, type Overlap } from './overlap.ts';
import { type PhaseWork, phasesOf } from './phases.ts';

export interface ClassTime {
  readonly name: KernelClass;
  readonly role: KernelRole;
  readonly count: number;
  readonly seconds: number;
  /** Of the sum over all classes: streams run at once, so the sum exceeds the wall's time. */
  readonly share: number;
  /** Thread blocks of most of its time where kernels fit the chip once; null if none does. */
  readonly sms: number | null;
}

export interface StreamReport {
  readonly id: string;
  readonly name: string;
  readonly role: 'compute' | 'communication';
  readonly count: number;
  readonly busySeconds: number;
  /** Sum of its spans: more than `busySeconds` where spans of the stream overlap. */
  readonly spanSeconds: number;
  readonly idleSeconds: number;
  readonly longestGapSeconds: number;
  readonly sms: number | null;
}

export interface OverlapReport {
  readonly computeBusySeconds: number;
  readonly communicationBusySeconds: number;
  readonly bothBusySeconds: number;
  readonly exposedSeconds: number;
  readonly hiddenShare: number | null;
  readonly dataMovementSeconds: number;
  readonly dataMovementHiddenShare: number | null;
  readonly waitSeconds: number;
  readonly computeIdleSeconds: number;
  readonly nothingBusySeconds: number;
}

export interface GapReport {
  readonly startSeconds: number;
  readonly seconds: number;
  /** Class of the span that ended last before it, and of the first after it. */
  readonly after: KernelClass | null;
  readonly before: KernelClass | null;
}

export interface PhaseReport {
  readonly name: string;
  readonly occurrence: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly busySeconds: number;
  readonly spanSeconds: number;
  readonly dataMovementSeconds: number;
  readonly count: number;
  readonly secondsByClass: Readonly<Partial<Record<KernelClass, number>>>;
}

export interface PathEntry {
  readonly device: string;
  readonly stream: string;
  readonly class: KernelClass;
  readonly name: string;
  readonly startSeconds: number;
  readonly seconds: number;
  readonly gapBeforeSeconds: number;
}

export interface PathReport {
  readonly method: CriticalPath['method'];
  readonly numSpans: number;
  readonly busySeconds: number;
  readonly hostGapSeconds: number;
  readonly otherGapSeconds: number;
  readonly secondsByClass: Readonly<Partial<Record<KernelClass, number>>>;
  /** The longest of its spans. */
  readonly longest: readonly PathEntry[];
}

export interface DeviceReport {
  readonly id: string;
  readonly name: string;
  readonly count: number;
  readonly wallSeconds: number;
  /** Of the whole trace's window, when this device neither computed nor moved data. */
  readonly bubbleSeconds: number;
  readonly streams: readonly StreamReport[];
  readonly classes: readonly ClassTime[];
  readonly overlap: OverlapReport;
  readonly longestIdle: readonly GapReport[];
  readonly phases: readonly PhaseReport[];
}

export interface TraceReport {
  readonly schemaVersion: 1;
  readonly kind: Trace['kind'];
  readonly name: string;
  readonly gpu: Trace['gpu'];
  readonly rank: number | null;
  readonly worldSize: number | null;
  readonly wallSeconds: number;
  readonly devices: readonly DeviceReport[];
  readonly criticalPath: PathReport;
  readonly notices: readonly string[];
}

const MAX_LONGEST = 10;

/** A chip that the trace does not describe: no NVIDIA data-centre GPU to B300 has more. */
const LIKELY_SMS = 160;

export function analyzeTrace(trace: Trace, rules: readonly KernelRule[] = []): TraceReport {
  const devices = classifyDevices(trace.devices, rules);
  const window = windowOf(devices.flatMap(spansOf)) ?? { start: 0, end: 0 };
  return {
    schemaVersion: 1,
    kind: trace.kind,
    name: trace.name,
    gpu: trace.gpu,
    rank: trace.rank,
    worldSize: trace.worldSize,
    wallSeconds: seconds(window.end - window.start),
    devices: devices.map((device) => reportDevice(trace, device, window)),
    criticalPath: reportPath(criticalPath(trace, devices)),
    notices: trace.notices,
  };
}

function reportDevice(trace: Trace, device: ClassifiedDevice, window: Interval): DeviceReport {
  const spans = spansOf(device);
  const overlap = measureOverlap(device);
  const busy = union(spans.filter(({ role }) => role !== 'wait'));
  const own = windowOf(spans) ?? window;
  const numSms = trace.gpu?.numSms ?? LIKELY_SMS;
  return {
    id: device.id,
    name: device.name,
    count: spans.length,
    wallSeconds: seconds(overlap.wall),
    bubbleSeconds: seconds(lengthOf(gapsWithin(window, busy))),
    streams: device.streams.map(({ id, name, role, spans: inStream, busy: streamBusy }) => {
      const gaps = gapsWithin(own, streamBusy).map(({ start, end }) => end - start);
      return {
        id,
        name,
        role,
        count: inStream.length,
        busySeconds: seconds(lengthOf(streamBusy)),
        spanSeconds: seconds(timeOf(inStream)),
        idleSeconds: seconds(gaps.reduce((sum, gap) => sum + gap, 0)),
        longestGapSeconds: seconds(gaps.reduce((longest, gap) => Math.max(longest, gap), 0)),
        sms: commonBlocks(inStream, numSms),
      };
    }),
    classes: classTimes(spans, numSms),
    overlap: reportOverlap(overlap),
    longestIdle: overlap.idle.slice(0, MAX_LONGEST).map((gap) => describeGap(gap, spans)),
    phases: phasesOf(trace, device).map(reportPhase),
  };
}

export function classTimes(spans: readonly ClassifiedSpan[], numSms: number): readonly ClassTime[] {
  const groups = Map.groupBy(spans, ({ kernelClass }) => kernelClass);
  const total = timeOf(spans);
  return [...groups]
    .map(([name, group]) => {
      const time = timeOf(group);
      return {
        name,
        role: roleOf(name),
        count: group.length,
        seconds: seconds(time),
        share: total === 0 ? 0 : time / total,
        sms: commonBlocks(group, numSms),
      };
    })
    .sort((a, b) => b.seconds - a.seconds || a.name.localeCompare(b.name));
}

/**
 * The number of blocks that most time was spent with, among kernels that fit the chip once: such a
 * persistent kernel takes one SM for each block, so this is the number of SMs it was given.
 */
function commonBlocks(spans: readonly ClassifiedSpan[], numSms: number): number | null {
  const times = new Map<number, number>();
  for (const { blocks, start, end } of spans) {
    if (blocks === null || blocks <= 1 || blocks > numSms) continue;
    times.set(blocks, (times.get(blocks) ?? 0) + end - start);
  }
  const total = timeOf(spans);
  const [blocks, time] = [...times].reduce((a, b) => (b[1] > a[1] ? b : a), [0, 0]);
  return total > 0 && time >= total / 4 ? blocks : null;
}

function reportOverlap(overlap: Overlap): OverlapReport {
  return {
    computeBusySeconds: seconds(overlap.computeBusy),
    communicationBusySeconds: seconds(overlap.communicationBusy),
    bothBusySeconds: seconds(overlap.bothBusy),
    exposedSeconds: seconds(overlap.exposed),
    hiddenShare: overlap.hiddenShare,
    dataMovementSeconds: seconds(overlap.dataMovementBusy),
    dataMovementHiddenShare: overlap.dataMovementHiddenShare,
    waitSeconds: seconds(overlap.waitBusy),
    computeIdleSeconds: seconds(overlap.computeIdle),
    nothingBusySeconds: seconds(overlap.nothingBusy),
  };
}

function describeGap({ start, end }: Interval, spans: readonly ClassifiedSpan[]): GapReport {
  let after: ClassifiedSpan | undefined;
  let before: ClassifiedSpan | undefined;
  for (const span of spans) {
    if (span.end <= start && (after === undefined || span.end > after.end)) after = span;
    if (span.start >= end && (before === undefined || span.start < before.start)) before = span;
  }
  return {
    startSeconds: seconds(start),
    seconds: seconds(end - start),
    after: after?.kernelClass ?? null,
    before: before?.kernelClass ?? null,
  };
}

function reportPhase(phase: PhaseWork): PhaseReport {
  return {
    name: phase.name,
    occurrence: phase.occurrence,
    startSeconds: seconds(phase.start),
    endSeconds: seconds(phase.end),
    busySeconds: seconds(phase.busy),
    spanSeconds: seconds(phase.spanTime),
    dataMovementSeconds: seconds(phase.dataMovement),
    count: phase.numSpans,
    secondsByClass: secondsByClass(phase.byClass),
  };
}

function reportPath(path: CriticalPath): PathReport {
  return {
    method: path.method,
    numSpans: path.steps.length,
    busySeconds: seconds(path.busy),
    hostGapSeconds: seconds(path.hostGap),
    otherGapSeconds: seconds(path.otherGap),
    secondsByClass: secondsByClass(path.byClass),
    longest: path.steps
      .toSorted((a, b) => b.time - a.time)
      .slice(0, MAX_LONGEST)
      .map(({ device, span, time, gapBefore }) => ({
        device,
        stream: span.stream,
        class: span.kernelClass,
        name: shortKernelName(span.name),
        startSeconds: seconds(span.start),
        seconds: seconds(time),
        gapBeforeSeconds: seconds(gapBefore),
      })),
  };
}

function secondsByClass(
  times: ReadonlyMap<KernelClass, number>,
): Readonly<Partial<Record<KernelClass, number>>> {
  const sorted = [...times].sort(([, a], [, b]) => b - a);
  return Object.fromEntries(sorted.map(([name, time]) => [name, seconds(time)]));
}

function spansOf({ streams }: ClassifiedDevice): readonly ClassifiedSpan[] {
  return streams.flatMap(({ spans }) => spans);
}

function timeOf(spans: readonly ClassifiedSpan[]): number {
  return spans.reduce((sum, { start, end }) => sum + (end - start), 0);
}

function seconds(microseconds: number): number {
  return microseconds / 1e6;
}
