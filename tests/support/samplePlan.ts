/**
 * A report to draw and export: DeepSeek-V3 on 2,048 H800 as DeepSeek describes the run, with round
 * durations made up here. The spans are the simulator's own walk of the schedule with those
 * durations, so bubbles are where they must be and phases add up; no test takes these seconds for a
 * prediction.
 */
import type { ClusterSpec } from '../../src/config/clusterSpec.ts';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import {
  numMicroBatches,
  type ScheduleName,
  type TrainingPlan,
} from '../../src/config/parallelPlan.ts';
import type {
  Candidate,
  PairSpan,
  PlanExtras,
  TimelineSpan,
} from '../../src/planner/planExtras.ts';
import type { MemoryBreakdown, PlanReport, RankReport } from '../../src/planner/planReport.ts';
import { timelineSpans } from '../../src/planner/timeline.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { programsOf } from './pipelineStep.ts';
import { v3Plan } from './v3Plan.ts';

const GIB = 1024 ** 3;

export const sampleCluster: ClusterSpec = findCluster('h800x2048');

const OPTIMIZER = 0.3;
const TOKENS = 14.8e12;

/** One report of a plan with `numMicroBatches` per pipeline; 16 × 120 is DeepSeek's. */
export function sampleReport(
  plan: TrainingPlan = v3Plan,
  walked: WalkedStep = walkSample(plan),
): PlanReport {
  const { pp } = plan.layout;
  const step = walked.seconds;
  const tokensPerStep = plan.globalBatch * plan.sequenceLength;
  const days = (TOKENS / tokensPerStep) * (step / 86400);
  const gpuHours = days * 24 * sampleCluster.numGpus;
  const [causal, nonCausal] = [2.22e11, 2.5e11];
  const ranks = Array.from({ length: pp }, (_, rank) => rankOf(plan, { rank, walked }));
  const flopsPerSecond = (flops: number): number =>
    (flops * tokensPerStep) / step / sampleCluster.numGpus;
  const first = ranks[0];
  if (first === undefined) throw new Error('no rank');
  return {
    schemaVersion: 1,
    stepSeconds: step,
    tokensPerDay: (tokensPerStep * 86400) / step,
    mfuCausal: flopsPerSecond(causal) / 989e12,
    mfuNonCausal: flopsPerSecond(nonCausal) / 989e12,
    tflopsCausal: flopsPerSecond(causal) / 1e12,
    bubbleSeconds: first.phases.bubble,
    phases: first.phases,
    memoryBytesPerRank: ranks.map(({ memoryBytes }) => memoryBytes),
    peakMemoryBytes: Math.max(...ranks.map(({ memoryBytes }) => memoryBytes)),
    gpuHours,
    dollars: gpuHours * 2,
    sources: [
      { what: 'FP8 products', source: 'fitted', relativeError: 0.06, from: 'DeepGEMM’s tables' },
      {
        what: 'weight gradients',
        source: 'derived',
        relativeError: 0.15,
        from: 'operation counts',
      },
      {
        what: 'dispatch, combine',
        source: 'measured',
        relativeError: 0.04,
        from: 'DeepEP’s tables',
      },
      {
        what: 'cross-rack sends',
        source: 'extrapolated',
        relativeError: 0.3,
        from: 'a fit, stretched',
      },
    ],
    model: 'deepseek-v3',
    cluster: 'h800x2048',
    plan,
    numGpus: sampleCluster.numGpus,
    step: { seconds: step, source: 'derived', relativeError: 0.08 },
    tokensPerStep,
    totalTokens: TOKENS,
    days,
    kilowattHours: gpuHours * 1.2 * 1.2,
    flopsPerTokenCausal: causal,
    flopsPerTokenNonCausal: nonCausal,
    overlap: {
      pairSeconds: 0.14,
      computeSeconds: 0.128,
      communicationSeconds: 0.096,
      hiddenShare: 0.875,
    },
    otherPrecision: {
      precision: 'bf16',
      stepSeconds: 1.2 * step,
      mfuCausal: 0.32,
      peakMemoryBytes: 95e9,
      isFitting: false,
    },
    ranks,
    operations: sampleOperations(step),
    derived: {
      'scaleUp.bytesPerSecond': 160e9,
      'scaleOut.bytesPerSecond': 40e9,
      'dispatch.seconds': 0.0012,
      'moments.bytes': 3.2e9,
      'alltoall.share': 0.96,
    },
  };
}

export interface WalkedStep {
  readonly seconds: number;
  readonly spans: readonly TimelineSpan[];
}

const SECONDS: Readonly<Record<string, number>> = {
  forward: 0.05,
  backward: 0.09,
  backwardInput: 0.065,
  backwardWeight: 0.025,
  forwardBackward: 0.14,
  optimizerStep: OPTIMIZER,
};

export function walkSample(plan: TrainingPlan = v3Plan): WalkedStep {
  const programs = programsOf(
    pipelineSchedule({
      name: plan.schedule,
      numRanks: plan.layout.pp,
      numMicroBatches: numMicroBatches(plan),
      chunksPerRank: plan.chunksPerRank,
    }),
  );
  const { makespan, spans } = walkPrograms(programs, {
    seconds: (_, { kind }) => SECONDS[kind] ?? 0,
    transferSeconds: () => 0.002,
  });
  return { seconds: makespan, spans: timelineSpans({ spans, programs }) };
}

function rankOf(
  { layout: { pp } }: TrainingPlan,
  { rank, walked }: { readonly rank: number; readonly walked: WalkedStep },
): RankReport {
  const mirror = pp - 1 - rank;
  const layersOf = (stage: number): { first: number; last: number } => ({
    first: Math.floor((stage * 61) / pp),
    last: Math.floor(((stage + 1) * 61) / pp),
  });
  const spans = walked.spans.filter((span) => span.rank === rank);
  const time = (...names: readonly string[]): number =>
    spans.filter(({ name }) => names.includes(name)).reduce((sum, s) => sum + s.end - s.start, 0);
  const phases = {
    '1F': time('forward'),
    '1B': time('backward', 'backwardInput'),
    '1W': time('backwardWeight'),
    '1F1B': time('forwardBackward'),
    optimizer: OPTIMIZER,
  };
  const busy = Object.values(phases).reduce((sum, seconds) => sum + seconds, 0);
  const memory: MemoryBreakdown = {
    weights: 16.4 * GIB,
    masterWeights: 1.6 * GIB,
    gradients: 11.2 * GIB,
    moments: 1.6 * GIB,
    activations: (22 + 0.35 * Math.abs(rank - mirror)) * GIB,
    communicationBuffers: 2.1 * GIB,
    reserve: 4 * GIB,
  };
  return {
    rank,
    stages: rank === mirror ? [layersOf(rank)] : [layersOf(rank), layersOf(mirror)],
    phases: { ...phases, bubble: walked.seconds - busy },
    memoryBytes: Object.values(memory).reduce((sum: number, bytes: number) => sum + bytes, 0),
    memory,
  };
}

function sampleOperations(step: number): PlanReport['operations'] {
  const compute = 'compute' as const;
  const row = (
    name: string,
    share: number,
    rest: Partial<PlanReport['operations'][number]> & { readonly intensity?: number },
  ): PlanReport['operations'][number] => {
    const seconds = step * share;
    const { intensity = 0, bound = compute, shareOfLimit = 0.5, source = 'fitted' } = rest;
    const limit = bound === 'compute' ? 1979e12 : bound === 'memory' ? 3.35e12 : 40e9;
    const flops = bound === 'compute' ? seconds * limit * shareOfLimit : 0;
    const bytes = bound === 'compute' ? flops / intensity : seconds * limit * shareOfLimit;
    return { name, seconds, flops: flops || bytes * intensity, bytes, source, shareOfLimit, bound };
  };
  return [
    row('expert products, FP8', 0.34, { intensity: 820, shareOfLimit: 0.55 }),
    row('attention core, BF16', 0.13, { intensity: 410, shareOfLimit: 0.3, source: 'derived' }),
    row('MLA projections, FP8', 0.14, { intensity: 1150, shareOfLimit: 0.62 }),
    row('weight gradients, FP8', 0.12, { intensity: 640, shareOfLimit: 0.48, source: 'derived' }),
    row('output head, BF16', 0.03, { intensity: 1900, shareOfLimit: 0.37 }),
    row('norms', 0.02, { bound: 'memory', intensity: 1.2, shareOfLimit: 0.78, source: 'derived' }),
    row('casts to FP8', 0.02, {
      bound: 'memory',
      intensity: 0.5,
      shareOfLimit: 0.8,
      source: 'derived',
    }),
    row('SwiGLU', 0.015, {
      bound: 'memory',
      intensity: 2.4,
      shareOfLimit: 0.75,
      source: 'derived',
    }),
    row('dispatch', 0.06, { bound: 'network', shareOfLimit: 0.9, source: 'measured' }),
    row('combine', 0.07, { bound: 'network', shareOfLimit: 0.88, source: 'measured' }),
  ];
}

export function sampleCandidates(report: PlanReport): readonly Candidate[] {
  const of = (
    schedule: ScheduleName,
    slowdown: number,
    rest: { readonly pp?: number; readonly numGpus?: number; readonly reason: string },
  ): Candidate => {
    const { pp = 16, numGpus = 2048, reason } = rest;
    const dp = numGpus / pp;
    const size = numGpus === 2048 ? '' : `${numGpus} GPUs `;
    const dollars = (report.dollars * slowdown * numGpus) / 2048;
    return {
      label: `${size}pp${pp} ${schedule}`,
      plan: { ...report.plan, schedule, layout: { ...report.plan.layout, pp, dp } },
      numGpus,
      stepSeconds: report.stepSeconds * slowdown,
      days: (report.days ?? 0) * slowdown,
      dollars,
      peakMemoryBytes: report.peakMemoryBytes,
      mfuCausal: (report.mfuCausal / slowdown) * (2048 / numGpus),
      isBest: slowdown === 1,
      reason,
    };
  };
  return [
    of('dualpipe', 1, { reason: 'The quickest that fits.' }),
    of('zb1p', 1.06, { reason: 'Its all-to-all is not hidden.' }),
    of('1f1b', 1.31, { reason: 'Bubble of 15 micro-batches, nothing hidden.' }),
    of('dualpipe', 1.02, { pp: 8, reason: 'Fits only with full recompute, 18 % more FLOPs.' }),
    of('dualpipe', 1.09, { pp: 32, reason: 'Uneven stages: 61 layers on 64 chunks.' }),
    of('dualpipe', 1.94, { numGpus: 1024, reason: 'Cheaper, but takes twice as long.' }),
    of('1f1b', 2.1, { numGpus: 1024, reason: 'Slower and dearer than with DualPipe.' }),
  ];
}

/** Four layers' worth of a pair, the order of the published diagram. */
export function samplePairSpans(): readonly PairSpan[] {
  const compute = ['attention', 'experts', 'attention', 'experts', 'experts', 'attention'];
  const spans: PairSpan[] = [];
  let time = 0;
  for (let layer = 0; layer < 4; layer++) {
    for (const [index, name] of compute.entries()) {
      const pass = index % 2 === 0 ? 'backward' : index === 5 ? 'weight' : 'forward';
      const start = time;
      time += name === 'experts' ? 0.0066 : 0.0048;
      spans.push({ stream: 'compute', pass, name, start, end: time });
      const transfer = name === 'experts' ? 'combine' : 'dispatch';
      const other = pass === 'forward' ? 'backward' : 'forward';
      spans.push({
        stream: 'communication',
        pass: other,
        name: transfer,
        start: start + 0.0004,
        end: start + 0.0043,
      });
    }
  }
  return spans;
}

export function sampleExtras(report: PlanReport, walked: WalkedStep): PlanExtras {
  const scaled = (name: string, factor: number, note: string): PlanExtras['whatIfs'][number] => ({
    name,
    stepSeconds: report.stepSeconds * factor,
    days: (report.days ?? 0) * factor,
    dollars: report.dollars * factor,
    mfuCausal: report.mfuCausal / factor,
    note,
  });
  return {
    cluster: sampleCluster,
    command:
      'npx moebius plan train --model deepseek-v3 --cluster h800x2048 ' +
      '--layout pp16,ep64,zero1 --schedule dualpipe --html plan.html',
    spans: walked.spans,
    pairSpans: samplePairSpans(),
    candidates: sampleCandidates(report),
    whatIfs: [
      scaled('half the NVLink', 1.08, 'scaleUp.bytesPerSecond = 100 GB/s'),
      scaled('FP32-accumulating tensor cores', 0.91, 'no promotion every 128 terms'),
      scaled('communication co-processor', 0.9, 'no SM is taken'),
      scaled('a renamed cluster', 1, 'nothing that costs time'),
    ],
    publishedRows: {
      from: 'ISCA 2025, table 4, MPFT',
      stepSeconds: 19.926,
      phases: { '1F': 1.13, bubble: 2.06, '1B': 1.99, '1W': 0.48, '1F1B': 13.95, optimizer: 0.29 },
    },
  };
}
