/**
 * The memory plan of a model on this machine: what it will take, against what is there, before it
 * is loaded.
 */
import { formatBytes } from '../base/units.ts';
import {
  planServingMemory,
  type ServingMemoryPlan,
  type ServingMemoryRequest,
} from '../config/servingMemory.ts';
import { machineMemory } from '../runtime/machineMemory.ts';
import { type Cell, formatTable } from './output.ts';

export type MachinePlanRequest = Omit<ServingMemoryRequest, 'availableBytes'>;

export function planOnThisMachine(request: MachinePlanRequest): ServingMemoryPlan {
  return planServingMemory({ ...request, availableBytes: machineMemory().availableBytes });
}

/** One row for each part, then the sum, what is there, and what to do where it does not fit. */
export function memoryTable(plan: ServingMemoryPlan): string {
  const { limitedBy } = machineMemory();
  const rows: Cell[][] = [
    ...plan.rows.map(({ name, bytes, formula }): Cell[] => [name, formatBytes(bytes), formula]),
    ['together', formatBytes(plan.totalBytes), plan.doesFit ? 'fits' : 'does not fit'],
    ['available', formatBytes(plan.availableBytes), `limited by: ${limitedBy}`],
    ['largest context', String(plan.largestContext), 'of so many sequences, here'],
  ];
  return [formatTable(rows, ['memory', 'bytes', 'how']), ...plan.fixes].join('\n');
}
