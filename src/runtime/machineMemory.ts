/**
 * How much memory this process may still take: what the system has left, and the limits it was put
 * under (container, shell). The smallest counts.
 */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';

export interface MachineMemory {
  readonly availableBytes: number;
  readonly totalBytes: number;
  /** What sets `availableBytes`. */
  readonly limitedBy: 'memory' | 'container' | 'process limit';
}

export function machineMemory(read: (path: string) => string | null = readText): MachineMemory {
  const system = read('/proc/meminfo');
  const totalBytes = fieldBytes(system, 'MemTotal') ?? totalmem();
  let memory: MachineMemory = {
    availableBytes: fieldBytes(system, 'MemAvailable') ?? freemem(),
    totalBytes,
    limitedBy: 'memory',
  };
  const container = containerBytes(read);
  if (container !== null && container < memory.availableBytes) {
    memory = { availableBytes: container, totalBytes, limitedBy: 'container' };
  }
  const limit = processLimitBytes(read);
  if (limit !== null && limit < memory.availableBytes) {
    memory = { availableBytes: limit, totalBytes, limitedBy: 'process limit' };
  }
  return memory;
}

/** Whether a file that is read once should stay in the system's cache: only beside its copy. */
export function cacheOfFiles(bytes: number): 'keep' | 'drop' {
  return 2 * bytes > machineMemory().availableBytes ? 'drop' : 'keep';
}

/** What a control group leaves, version 2 or 1: files that are merely cached can be given up. */
function containerBytes(read: (path: string) => string | null): number | null {
  const [limit, used, cached] = [
    countOf(read('/sys/fs/cgroup/memory.max')),
    countOf(read('/sys/fs/cgroup/memory.current')),
    statBytes(read('/sys/fs/cgroup/memory.stat'), 'inactive_file'),
  ];
  if (limit !== null && used !== null) return Math.max(0, limit - used + (cached ?? 0));
  const [oldLimit, oldUsed, oldCached] = [
    countOf(read('/sys/fs/cgroup/memory/memory.limit_in_bytes')),
    countOf(read('/sys/fs/cgroup/memory/memory.usage_in_bytes')),
    statBytes(read('/sys/fs/cgroup/memory/memory.stat'), 'total_inactive_file'),
  ];
  if (oldLimit === null || oldUsed === null) return null;
  return Math.max(0, oldLimit - oldUsed + (oldCached ?? 0));
}

/** RLIMIT_AS and RLIMIT_DATA (`ulimit -v`, `-d`), less what the process has. */
function processLimitBytes(read: (path: string) => string | null): number | null {
  const limits = read('/proc/self/limits');
  const status = read('/proc/self/status');
  const left = [
    ['Max address space', 'VmSize'],
    ['Max data size', 'VmData'],
  ].flatMap(([limit = '', used = '']) => {
    const most = new RegExp(`^${limit}\\s+(\\d+)`, 'm').exec(limits ?? '')?.[1];
    return most === undefined ? [] : [Math.max(0, Number(most) - (fieldBytes(status, used) ?? 0))];
  });
  return left.length === 0 ? null : Math.min(...left);
}

/** `Name:   123 kB` of a file below /proc. */
function fieldBytes(text: string | null, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text ?? '')?.[1];
  return found === undefined ? null : Number(found) * 1024;
}

function statBytes(text: string | null, name: string): number | null {
  const found = new RegExp(`^${name} (\\d+)`, 'm').exec(text ?? '')?.[1];
  return found === undefined ? null : Number(found);
}

/** A number alone in its file; "max" is none. */
function countOf(text: string | null): number | null {
  return text !== null && /^\d+\s*$/.test(text) ? Number(text) : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
