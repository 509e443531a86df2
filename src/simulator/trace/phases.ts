/**
 * A device's work by the host's annotations ("attn(F)", "dispatch(B)" …).
 *
 * A kernel belongs to the innermost annotation in which its launch began; an annotation on the
 * launching thread goes before one on another thread (autograd launches backward kernels from a
 * thread of its own while the annotated one waits). Repetitions of a name are counted: the n-th
 * "attn(F)" is the n-th layer's.
 */
import { at } from '../../base/assert.ts';
import type { ClassifiedDevice, ClassifiedSpan } from './classifySpans.ts';
import type { Annotation, Launch, Trace } from './deviceTrace.ts';
import { lengthOf, union, windowOf } from './intervals.ts';
import type { KernelClass } from './kernelClasses.ts';

/** In the trace's microseconds, on the device's clock. */
export interface PhaseWork {
  readonly name: string;
  /** The how-manieth of its name, from 0: the layer, where a phase comes once in each. */
  readonly occurrence: number;
  readonly start: number;
  readonly end: number;
  readonly numSpans: number;
  /** Of any of its spans; below `spanTime` when streams share the work. */
  readonly busy: number;
  readonly spanTime: number;
  /** Of kernels that move data between ranks. */
  readonly dataMovement: number;
  readonly byClass: ReadonlyMap<KernelClass, number>;
}

/** How the host's calls put a span on its stream: by correlation, else by its CPU operation. */
export function launchOf(trace: Trace, span: ClassifiedSpan): Launch | undefined {
  const byCorrelation =
    span.correlation === null ? undefined : trace.launches.get(span.correlation);
  if (byCorrelation !== undefined || span.externalId === null) return byCorrelation;
  return trace.operations.get(span.externalId);
}

export function phasesOf(trace: Trace, device: ClassifiedDevice): readonly PhaseWork[] {
  return spansByPhase(trace, device).map(({ spans, ...phase }) => workOf(phase, spans));
}

export interface PhaseSpans {
  readonly name: string;
  readonly occurrence: number;
  readonly spans: readonly ClassifiedSpan[];
}

/** Phases in the host's order; spans outside of all annotations are in none. */
export function spansByPhase(trace: Trace, device: ClassifiedDevice): readonly PhaseSpans[] {
  if (trace.annotations.length === 0) return [];
  const find = annotationFinder(trace.annotations);
  const groups = new Map<Annotation, ClassifiedSpan[]>();
  for (const span of device.streams.flatMap(({ spans }) => spans)) {
    const launch = launchOf(trace, span);
    const annotation = launch === undefined ? undefined : find(launch);
    if (annotation === undefined) continue;
    const group = groups.get(annotation);
    if (group === undefined) groups.set(annotation, [span]);
    else group.push(span);
  }
  const seen = new Map<string, number>();
  return trace.annotations.flatMap((annotation) => {
    const spans = groups.get(annotation);
    if (spans === undefined) return [];
    const { name } = annotation;
    const occurrence = seen.get(name) ?? 0;
    seen.set(name, occurrence + 1);
    return [{ name, occurrence, spans }];
  });
}

function workOf(
  { name, occurrence }: { name: string; occurrence: number },
  spans: readonly ClassifiedSpan[],
): PhaseWork {
  const byClass = new Map<KernelClass, number>();
  let [spanTime, dataMovement] = [0, 0];
  for (const { kernelClass, role, start, end } of spans) {
    const time = end - start;
    byClass.set(kernelClass, (byClass.get(kernelClass) ?? 0) + time);
    spanTime += time;
    if (role === 'communication') dataMovement += time;
  }
  const { start, end } = windowOf(spans) ?? { start: 0, end: 0 };
  const busy = lengthOf(union(spans));
  const numSpans = spans.length;
  return { name, occurrence, start, end, numSpans, busy, spanTime, dataMovement, byClass };
}

/**
 * Annotations around a time, innermost first, are found from the last one that began before it, by
 * way of each one's parent: the last to begin before it and end after it.
 */
function annotationFinder(sorted: readonly Annotation[]): (call: Launch) => Annotation | undefined {
  const threads = new Map<string, { list: Annotation[]; parents: number[] }>();
  for (const annotation of sorted) {
    const key = `${annotation.process}\u0000${annotation.thread}`;
    const thread = threads.get(key) ?? { list: [], parents: [] };
    threads.set(key, thread);
    let parent = thread.list.length - 1;
    while (parent >= 0 && at(thread.list, parent).end < annotation.end) {
      parent = at(thread.parents, parent);
    }
    thread.list.push(annotation);
    thread.parents.push(parent);
  }
  const around = (key: string, time: number): Annotation | undefined => {
    const thread = threads.get(key);
    if (thread === undefined) return undefined;
    let [low, high] = [0, thread.list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at(thread.list, middle).start <= time) low = middle + 1;
      else high = middle;
    }
    for (let i = low - 1; i >= 0; i = at(thread.parents, i)) {
      const annotation = at(thread.list, i);
      if (annotation.end >= time) return annotation;
    }
    return undefined;
  };
  return (call) => {
    const ofProcess = `${call.process}\u0000`;
    const own = ofProcess + call.thread;
    const { start } = call;
    const found = around(own, start);
    if (found !== undefined) return found;
    let innermost: Annotation | undefined;
    for (const key of threads.keys()) {
      if (key === own || !key.startsWith(ofProcess)) continue;
      const other = around(key, start);
      if (other !== undefined && (innermost === undefined || other.start >= innermost.start)) {
        innermost = other;
      }
    }
    return innermost;
  };
}
