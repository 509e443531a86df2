/**
 * Chips by name, as their makers' data sheets give them: dense peaks (a sheet's larger figure "with
 * sparsity" is halved), whole memory, and where a number is not from a sheet, from where.
 */
import type { ClusterSpec, GpuSpec } from '../clusterSpec.ts';

type Sources = ClusterSpec['sources'];

/** Capacities are those that drivers show: a card of "80 GB" has stacks of 2³⁰-byte gigabytes. */
const MIB = 2 ** 20;

/** A piece of a cluster's description with the origin of its numbers, by path in the cluster. */
export interface Chip {
  readonly gpu: GpuSpec;
  readonly sources: Sources;
}

/**
 * NVIDIA, "Getting Started with CUDA Graphs" (2019): kernels of 2.9 µs that are queued follow one
 * another every 3.8 µs. Measured on V100; no maker gives it for later chips.
 */
const LAUNCH_SECONDS = 0.9e-6;

const launch: Sources = {
  'gpu.launchSeconds': {
    kind: 'assumed',
    note: 'NVIDIA, Getting Started with CUDA Graphs: 3.8 − 2.9 µs, measured on V100',
  },
};

function sheet(note: string, others: Sources = {}): Sources {
  return { gpu: { kind: 'datasheet', note }, ...launch, ...others };
}

const hopper: GpuSpec = {
  name: 'H100 SXM',
  numSms: 132,
  peakFlops: { bf16: 989.4e12, fp8: 1978.9e12 },
  vectorFlops: 66.9e12,
  memoryBytes: 81_559 * MIB,
  memoryBytesPerSecond: 3.35e12,
  fp8Accumulation: 'promoted',
  launchSeconds: LAUNCH_SECONDS,
};

const promoted: Sources = {
  'gpu.fp8Accumulation': {
    kind: 'measured',
    note: 'DeepSeek-V3 report, 3.3.2: about 14 bits are kept, so sums are promoted every 128 terms',
  },
};

export const h100: Chip = {
  gpu: hopper,
  sources: sheet('NVIDIA H100 data sheet, SXM5; dense', promoted),
};

/** H100 with less NVLink and FP64, for China: the same tensor cores and memory. */
export const h800: Chip = {
  gpu: { ...hopper, name: 'H800 SXM' },
  sources: sheet('NVIDIA H800 data sheet, SXM5: as H100 but for NVLink and FP64', promoted),
};

export const h200: Chip = {
  gpu: { ...hopper, name: 'H200 SXM', memoryBytes: 143_771 * MIB, memoryBytesPerSecond: 4.8e12 },
  sources: sheet('NVIDIA H200 data sheet, SXM; dense', promoted),
};

/** Hopper with 78 of its 132 SMs at a low clock, and all of its memory and NVLink. */
export const h20: Chip = {
  gpu: {
    ...hopper,
    name: 'H20',
    numSms: 78,
    peakFlops: { bf16: 148e12, fp8: 296e12 },
    vectorFlops: 44e12,
    memoryBytes: 97_871 * MIB,
    memoryBytesPerSecond: 4e12,
  },
  sources: sheet('NVIDIA H20 data sheet; dense', {
    ...promoted,
    'gpu.numSms': { kind: 'measured', note: 'device query; the sheet does not give it' },
  }),
};

/** Ampere has no FP8. */
export const a100: Chip = {
  gpu: {
    name: 'A100 SXM 80GB',
    numSms: 108,
    peakFlops: { bf16: 312e12, fp8: null },
    vectorFlops: 19.5e12,
    memoryBytes: 81_920 * MIB,
    memoryBytesPerSecond: 2.039e12,
    fp8Accumulation: null,
    launchSeconds: LAUNCH_SECONDS,
  },
  sources: sheet('NVIDIA A100 80GB data sheet, SXM; dense'),
};

/** The PCIe card of Fire-Flyer 2: 40 GB, and 250 W instead of 400 W. */
export const a100Pcie: Chip = {
  gpu: {
    ...a100.gpu,
    name: 'A100 PCIe 40GB',
    // Fire-Flyer (SC 2024), table 2: products run at 220 TFLOP/s where a DGX's run at 263.
    peakFlops: { bf16: (312e12 * 220) / 263, fp8: null },
    memoryBytes: 40_960 * MIB,
    memoryBytesPerSecond: 1.555e12,
  },
  sources: sheet('NVIDIA A100 40GB data sheet, PCIe', {
    'gpu.peakFlops.bf16': {
      kind: 'measured',
      note: 'Fire-Flyer AI-HPC (SC 2024), table 2: 220 TFLOP/s of FP16 products, 263 on SXM',
    },
  }),
};

/** Blackwell: two dies, one GPU. */
export const b200: Chip = {
  gpu: {
    name: 'B200',
    numSms: 148,
    peakFlops: { bf16: 2250e12, fp8: 4500e12 },
    vectorFlops: 75e12,
    memoryBytes: 183_359 * MIB,
    memoryBytesPerSecond: 7.7e12,
    fp8Accumulation: 'fp32',
    launchSeconds: LAUNCH_SECONDS,
  },
  sources: sheet('NVIDIA HGX B200 data sheet; dense', {
    'gpu.numSms': { kind: 'measured', note: 'device query; the sheet does not give it' },
    'gpu.fp8Accumulation': {
      kind: 'assumed',
      note: 'MXFP8 of the tensor core: scales of 32 elements are applied inside, sums in FP32',
    },
  }),
};

export const gb200: Chip = {
  gpu: {
    ...b200.gpu,
    name: 'GB200',
    peakFlops: { bf16: 2500e12, fp8: 5000e12 },
    vectorFlops: 80e12,
    memoryBytes: 189_471 * MIB,
    memoryBytesPerSecond: 8e12,
  },
  sources: {
    ...b200.sources,
    gpu: { kind: 'datasheet', note: 'NVIDIA GB200 NVL72 data sheet, one of 72 GPUs; dense' },
  },
};

export const mi300x: Chip = {
  gpu: {
    name: 'MI300X',
    numSms: 304,
    peakFlops: { bf16: 1307.4e12, fp8: 2614.9e12 },
    vectorFlops: 163.4e12,
    memoryBytes: 196_592 * MIB,
    memoryBytesPerSecond: 5.3e12,
    fp8Accumulation: 'fp32',
    launchSeconds: LAUNCH_SECONDS,
  },
  sources: sheet('AMD Instinct MI300X data sheet; dense', {
    'gpu.launchSeconds': { kind: 'assumed', note: 'as NVIDIA’s; none published' },
  }),
};

/** Da Vinci cores: 24 for products, each with two for vectors. No FP8. */
export const ascend910b: Chip = {
  gpu: {
    name: 'Ascend 910B',
    numSms: 24,
    peakFlops: { bf16: 376e12, fp8: null },
    // 48 vector cores × 64 FP32 lanes × 2 × 1.8 GHz.
    vectorFlops: 11e12,
    memoryBytes: 65_536 * MIB,
    memoryBytesPerSecond: 1.6e12,
    fp8Accumulation: null,
    launchSeconds: 2e-6,
  },
  sources: sheet('Huawei Atlas 800T A2: 3 PFLOP/s of FP16 and 512 GB on eight 910B', {
    'gpu.numSms': {
      kind: 'measured',
      note: 'CloudMatrix384 paper (2025), of the same die: 24 cube and 48 vector cores',
    },
    'gpu.vectorFlops': { kind: 'assumed', note: '48 cores × 64 lanes × 2 × 1.8 GHz' },
    'gpu.launchSeconds': { kind: 'assumed', note: 'none published' },
  }),
};

export const rtx4090: Chip = {
  gpu: {
    name: 'RTX 4090',
    numSms: 128,
    // FP32 sums halve the rate of GeForce tensor cores.
    peakFlops: { bf16: 165.2e12, fp8: 330.3e12 },
    vectorFlops: 82.6e12,
    memoryBytes: 24_564 * MIB,
    memoryBytesPerSecond: 1.008e12,
    fp8Accumulation: 'fp32',
    launchSeconds: LAUNCH_SECONDS,
  },
  sources: sheet('NVIDIA Ada architecture paper, RTX 4090, FP32 accumulation; dense'),
};
