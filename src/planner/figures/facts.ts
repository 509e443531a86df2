/**
 * What the sources give as inputs: counts, hours, prices and rates that nothing here can compute.
 * Every figure of the audit that can be computed is computed from these and from the presets.
 */

/** DeepSeek-V3 technical report (2412.19437). */
export const v3Report = {
  /** Section 3.1. */
  numGpus: 2048,
  gpusPerNode: 8,
  /** Table 1. */
  preTrainingGpuHours: 2_664_000,
  contextExtensionGpuHours: 119_000,
  postTrainingGpuHours: 5000,
  dollarsPerGpuHour: 2,
  /** Section 4.2. */
  tokens: 14.8e12,
  sequenceLength: 4096,
  globalBatch: 15_360,
  batchRampTokens: 469e9,
  layout: 'pp16,ep64,zero1',
  constantRateTokens: 10e12,
  cosineTokens: 4.3e12,
  tailTokens: [333e9, 167e9],
  /** Section 4.3: length, sequences of a step, steps. */
  contextStages: [
    [32_768, 1920, 1000],
    [131_072, 480, 1000],
  ],
  /** Section 3.2.2: bytes per second of one GPU, one way. */
  nvlinkBytesPerSecond: 160e9,
  networkBytesPerSecond: 50e9,
  communicationSms: 20,
  numSms: 132,
  smsPerChannel: 2,
  /** Section 3.3: FP8 against BF16, an upper bound of the relative loss error. */
  fp8LossErrorPercent: 0.25,
  /** Section 5.4.3: how often a drafted token is kept. */
  mtpAcceptance: [0.85, 0.9],
  mtpSpeedup: 1.8,
  /** Section 3.4. */
  prefillGpus: 32,
  decodeGpus: 320,
  redundantExpertsPrefill: 32,
  redundantAndSharedGpusDecode: 64,
} as const;

/** Insights into DeepSeek-V3, ISCA 2025 (2505.09343). */
export const iscaPaper = {
  /** Table 4: multi-plane and multi-rail fat tree. */
  tokensPerDay: { mpft: 272.8e9, mrft: 272.52e9 },
  peakFlops: 989e12,
  stepRows: { '1F': 1.13, bubble: 2.06, '1B': 1.99, '1W': 0.48, '1F1B': 13.95, optimizer: 0.29 },
  /** Section 2.3.2: 7K is 7,000 there, not V3's 7,168. */
  expertHiddenSize: 7000,
  tokensPerDevice: 32,
  networkBytesPerSecond: 50e9,
  nvl72BytesPerSecond: 900e9,
  /** Section 2.2.2: a server of about 10,000 dollars with KTransformers. */
  smallServerTokensPerSecond: 20,
  mtpAcceptance: [0.8, 0.9],
  /** Sections 4.1 and 4.3, both ways and one way. */
  h800NvlinkBothWays: 400e9,
  h800NvlinkAchieved: 160e9,
  nicAchieved: 40e9,
  /** Table 5, microseconds from end to end for 64 bytes. */
  latencyMicroseconds: { infiniband: 2.8, infinibandAcross: 3.7, roce: 3.6, nvlink: 3.33 },
} as const;

/** Model card and paper (2407.21783) of Llama 3.1. */
export const llama405b = {
  gpuHours: 30.84e6,
  numGpus: 16_384,
  tokens: 15.6e12,
  parameters: 405e9,
  /** Section 3.3.4: days over which interruptions were counted. */
  snapshotDays: 54,
} as const;

/** Data sheets of the makers; FLOP/s dense, bytes per second, NVLink both ways. */
export const chips = {
  h100: { bf16Flops: 989e12, bf16FlopsUnrounded: 989.5e12, fp8Flops: 1979e12 },
  h800MemoryBytesPerSecond: 3.35e12,
  nvlinkBothWays: { a100: 600e9, h100: 900e9, h800: 400e9 },
} as const;

/** DeepSeek-V2 report (2405.04434). */
export const v2Report = {
  gpuHoursPerTrillion: 172_800,
  denseGpuHoursPerTrillion: 300_600,
  /** Section 3.2.3: the cache in 6 bits per number on average. */
  cacheBits: 6,
} as const;

/** The inference system's overview, day 6 of the open-source week: 27 and 28 February 2025. */
export const daySix = {
  averageNodes: 226.75,
  gpusPerNode: 8,
  dollarsPerGpuHour: 2,
  /** Per day; hits of the disk cache are a part of the input. */
  inputTokens: 608e9,
  cachedInputTokens: 342e9,
  outputTokens: 168e9,
  /** Dollars per million tokens. */
  prices: { cached: 0.14, input: 0.55, output: 2.19 },
  /** Tokens per second of a node, cache hits included. */
  prefillPerNode: 73_700,
  decodePerNode: 14_800,
  /** Tokens per second that a user sees, middle of the 20 to 22 given. */
  userTokensPerSecond: 21,
  redundantExperts: 32,
  prefillGpus: 32,
  decodeGpus: 144,
} as const;
