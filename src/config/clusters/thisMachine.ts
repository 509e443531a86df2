/** The machine at hand as a cluster of one: its cores, its memory, what `doctor` measured. */
import type { ClusterSpec } from '../clusterSpec.ts';
import { noFabric } from './fabrics.ts';

export interface MeasuredMachine {
  readonly name: string;
  readonly cores: number;
  /** Fused multiply-adds of registers alone, FLOP/s on all cores. */
  readonly fmaPeak: number;
  /** Bytes per second read from memory far larger than the caches. */
  readonly readBandwidth: number;
  readonly memoryBytes: number;
}

/** BF16 weights are widened before they are multiplied: their peak is that of FP32. */
export function thisMachine(machine: MeasuredMachine): ClusterSpec {
  const { name, cores, fmaPeak, readBandwidth, memoryBytes } = machine;
  const measured = { kind: 'measured', note: 'this machine, by moebius doctor' } as const;
  const assumed = { kind: 'assumed', note: 'a desktop computer' } as const;
  return {
    name: 'this-machine',
    gpu: {
      name,
      numSms: cores,
      peakFlops: { bf16: fmaPeak, fp8: null },
      vectorFlops: fmaPeak,
      memoryBytes,
      memoryBytesPerSecond: readBandwidth,
      fp8Accumulation: null,
      launchSeconds: 1e-6,
    },
    numGpus: 1,
    gpusPerNode: 1,
    scaleUp: {
      kind: 'pcie',
      domainSize: 1,
      bytesPerSecond: readBandwidth,
      achievableShare: 1,
      latencySeconds: 0,
    },
    scaleOut: noFabric.scaleOut,
    host: { memoryBytes, bytesPerSecond: readBandwidth },
    price: { dollarsPerGpuHour: 0, wattsPerGpu: 100, pue: 1 },
    communicationSms: 0,
    sources: {
      gpu: measured,
      'gpu.launchSeconds': { kind: 'assumed', note: 'a call of a native kernel' },
      price: assumed,
    },
  };
}
