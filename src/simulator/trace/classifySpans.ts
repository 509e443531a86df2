/**
 * Spans with their classes, and streams with their roles.
 *
 * A stream is a communication stream when communication kernels fill more than half of its busy
 * time: a cast that a library runs there belongs to the exchange that waits for it. On any other
 * stream only the communication kernels themselves count as communication.
 */

import type { TraceDevice, TraceSpan, TraceStream } from './deviceTrace.ts';
import { type Interval, lengthOf, union } from './intervals.ts';
import {
  createClassifier,
  type KernelClass,
  type KernelRole,
  type KernelRule,
  roleOf,
} from './kernelClasses.ts';

export interface ClassifiedSpan extends TraceSpan {
  readonly kernelClass: KernelClass;
  readonly role: KernelRole;
}

export interface ClassifiedStream {
  readonly id: string;
  readonly name: string;
  readonly role: 'compute' | 'communication';
  readonly spans: readonly ClassifiedSpan[];
  readonly busy: readonly Interval[];
}

export interface ClassifiedDevice {
  readonly id: string;
  readonly name: string;
  readonly streams: readonly ClassifiedStream[];
}

export function classifyDevices(
  devices: readonly TraceDevice[],
  rules: readonly KernelRule[] = [],
): readonly ClassifiedDevice[] {
  const classify = createClassifier(rules);
  const classified = (stream: TraceStream): ClassifiedStream => {
    const spans = stream.spans.map((span) => {
      const kernelClass = classify(span);
      return { ...span, kernelClass, role: roleOf(kernelClass) };
    });
    const busy = union(spans);
    const exchange = lengthOf(union(spans.filter(({ role }) => role !== 'compute')));
    const role = exchange > lengthOf(busy) / 2 ? 'communication' : 'compute';
    return { id: stream.id, name: stream.name, role, spans, busy };
  };
  return devices.map(({ id, name, streams }) => ({ id, name, streams: streams.map(classified) }));
}
