/**
 * A plan and everything that follows from it: seconds, memory, FLOPs, money, and where each number
 * is from. What `moebius plan train` prints.
 */
import { at } from '../base/assert.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import { numMicroBatches, type TrainingPlan, worldSize } from '../config/parallelPlan.ts';
import type { TrainingRun } from '../config/presets/trainingRuns.ts';
import {
  dollarsOf,
  kilowattHoursOf,
  tokensPerDay,
  type Utilization,
  utilization,
} from '../config/runCost.ts';
import { calibratedNetwork, kernelFactors } from '../simulator/applyCalibration.ts';
import type { Calibration } from '../simulator/calibrate.ts';
import { worse } from '../simulator/cost/priceParts.ts';
import type { PassPrice } from '../simulator/cost/stageCosts.ts';
import type { Estimate } from '../simulator/estimate.ts';
import type { LayerRecompute, RankMemory } from '../simulator/memory/estimateMemory.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import type { NetworkModel } from '../simulator/networkModel.ts';
import { imbalanceOf } from './expertImbalance.ts';
import { requireSize } from './pipelinePlan.ts';
import { type PlanMemory, peakMemoryBytes, planMemory, tryPlanMemory } from './planMemory.ts';
import type { OperationShare, PlanReport, RankReport, SourceNote } from './planReport.ts';
import { PriceBook } from './priceBook.ts';
import { type PriceUse, type SimulatedStep, simulatePlan } from './simulatePlan.ts';

export interface PlanningInput {
  readonly modelName: string;
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  /** Of the whole run; null plans one step. */
  readonly totalTokens: number | null;
  /** Load of the busiest rank's experts over the mean; 1 is balanced; by default as published. */
  readonly imbalance?: number;
  readonly network?: NetworkModel;
  /** What the step's size and format were taken from where nobody said them. */
  readonly run?: TrainingRun;
  /** Of a trace of the user's own (`moebius calibrate`). */
  readonly calibration?: Calibration;
}

export interface PlannedTraining {
  readonly report: PlanReport;
  readonly simulated: SimulatedStep;
  readonly memory: readonly RankMemory[];
  /** What `auto` came to, layer by layer; undefined under a named policy. */
  readonly recompute: LayerRecompute | undefined;
}

const SECONDS_PER_HOUR = 3600;
const SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR;

/**
 * @throws plan.memory for a plan that does not fit, with the three cheapest fixes;
 * plan.size, plan.stages; pipeline.schedule where the schedule cannot take these ranks and
 * micro-batches
 */
export function planTraining(input: PlanningInput): PlannedTraining {
  const { model, plan, cluster, calibration } = input;
  requireSize(model, plan);
  const described = input.network ?? createNetworkModel(cluster);
  const network = calibration === undefined ? described : calibratedNetwork(described, calibration);
  const book = new PriceBook({
    ...{ model, cluster, network },
    // Not resolved here: plans that are offered in its place have their own.
    ...(input.imbalance === undefined ? {} : { imbalance: input.imbalance }),
    ...(calibration === undefined ? {} : { factors: kernelFactors(calibration) }),
  });
  const fitted = planMemory({ plan, book });
  const { ranks, recompute } = fitted;
  const simulated = simulatePlan({ model, plan, cluster, book, ...chosenBy(fitted) });
  const other = otherPrecision(plan, book);
  return {
    report: { ...reportOf(input, simulated, ranks), otherPrecision: other },
    simulated,
    memory: ranks,
    recompute,
  };
}

/** FP8 beside BF16: the same layout and schedule, its memory and step found anew. */
function otherPrecision(plan: TrainingPlan, book: PriceBook): PlanReport['otherPrecision'] {
  const { model, cluster } = book;
  if (cluster.gpu.peakFlops.fp8 === null) return null;
  const precision = plan.precision === 'fp8' ? 'bf16' : 'fp8';
  const changed = { ...plan, precision } as const;
  const fitted = tryPlanMemory({ plan: changed, book });
  // Where nothing fits, the step of what needs least is shown beside what it would need.
  const least = plan.recompute === 'auto' ? ({ ...changed, recompute: 'full' } as const) : changed;
  const input = { model, plan: fitted === null ? least : changed, cluster };
  const { step, stages } = simulatePlan({ ...input, ...chosenBy(fitted), book });
  const peak =
    fitted === null
      ? peakMemoryBytes({ ...input, stages, imbalance: book.imbalanceOf(plan) })
      : Math.max(...fitted.ranks.map((rank) => rank.peak.total));
  return {
    precision,
    stepSeconds: step.seconds,
    mfuCausal: useOf(changed, { model, cluster, stepSeconds: step.seconds }).mfuCausal,
    peakMemoryBytes: peak,
    isFitting: fitted !== null,
  };
}

/** Stages and recomputation as memory decided them; the fastest stages where nothing fits. */
function chosenBy(fitted: PlanMemory | null): Partial<Pick<PlanMemory, 'stages'>> & {
  readonly recompute?: LayerRecompute;
} {
  if (fitted === null) return {};
  const { stages, recompute } = fitted;
  return { stages, ...(recompute === undefined ? {} : { recompute }) };
}

function useOf(
  plan: TrainingPlan,
  args: {
    readonly model: PlannedModel;
    readonly cluster: ClusterSpec;
    readonly stepSeconds: number;
  },
): Utilization {
  const { model, cluster, stepSeconds } = args;
  const { globalBatch, sequenceLength, layout } = plan;
  return utilization({
    ...{ model, stepSeconds, sequenceLength, numGpus: worldSize(layout) },
    tokensPerStep: globalBatch * sequenceLength,
    // DeepSeek's own figures count neither MTP nor what is computed twice.
    mtp: false,
    peakFlops: cluster.gpu.peakFlops.bf16,
  });
}

function reportOf(
  input: PlanningInput,
  simulated: SimulatedStep,
  memory: readonly RankMemory[],
): Omit<PlanReport, 'otherPrecision'> {
  const { model, plan, cluster, totalTokens } = input;
  const { step, phasesOfRank } = simulated;
  const numGpus = worldSize(plan.layout);
  const tokensPerStep = plan.globalBatch * plan.sequenceLength;
  const timed = { tokensPerStep, stepSeconds: step.seconds };
  const use = useOf(plan, { model, cluster, stepSeconds: step.seconds });
  const runSeconds =
    totalTokens === null ? step.seconds : (totalTokens / tokensPerStep) * step.seconds;
  const gpuHours = (runSeconds * numGpus) / SECONDS_PER_HOUR;
  const phases = at(phasesOfRank, 0);
  const ranks = rankReports(simulated, memory);
  const operations = operationShares(simulated.uses);
  return {
    schemaVersion: 1,
    stepSeconds: step.seconds,
    tokensPerDay: tokensPerDay(timed),
    mfuCausal: use.mfuCausal,
    mfuNonCausal: use.mfuNonCausal,
    tflopsCausal: use.tflopsCausal,
    bubbleSeconds: phases.bubble,
    phases,
    memoryBytesPerRank: ranks.map(({ memoryBytes }) => memoryBytes),
    peakMemoryBytes: Math.max(...ranks.map(({ memoryBytes }) => memoryBytes)),
    gpuHours,
    dollars: dollarsOf(gpuHours, cluster.price),
    sources: sourceNotes(input, simulated),
    model: input.modelName,
    cluster: cluster.name,
    ...{ plan, numGpus, step, tokensPerStep, totalTokens },
    days: totalTokens === null ? null : runSeconds / SECONDS_PER_DAY,
    kilowattHours: kilowattHoursOf(gpuHours, cluster.price),
    flopsPerTokenCausal: use.flopsPerTokenCausal,
    flopsPerTokenNonCausal: use.flopsPerTokenNonCausal,
    overlap: overlapOf(simulated.pair),
    ranks,
    operations,
    derived: derivedValues(input, simulated),
  };
}

function rankReports(
  { stages, stagesOfRank, phasesOfRank }: SimulatedStep,
  memory: readonly RankMemory[],
): RankReport[] {
  return stagesOfRank.map((own, rank) => {
    const { peak } = at(memory, rank);
    return {
      rank,
      stages: own.map((stage) => {
        const { first, last } = at(stages, stage);
        return { first, last };
      }),
      phases: at(phasesOfRank, rank),
      memoryBytes: peak.total,
      memory: peak.breakdown,
    };
  });
}

function overlapOf(pair: PassPrice | null): PlanReport['overlap'] {
  if (pair === null) return null;
  const { seconds, computeSeconds, communicationSeconds, hiddenShare } = pair;
  return { pairSeconds: seconds, computeSeconds, communicationSeconds, hiddenShare };
}

/** What rank 0 does in a step, by class of operation; longest first. */
function operationShares(uses: readonly PriceUse[]): OperationShare[] {
  const shares = new Map<string, OperationShare & { limitSeconds: number }>();
  for (const { price, count } of uses) {
    for (const { name, ...operation } of price.operations) {
      const seconds = operation.seconds * count;
      const known = shares.get(name);
      const limitSeconds = (known?.limitSeconds ?? 0) + operation.shareOfLimit * seconds;
      const total = (known?.seconds ?? 0) + seconds;
      shares.set(name, {
        name,
        seconds: total,
        flops: (known?.flops ?? 0) + operation.flops * count,
        bytes: (known?.bytes ?? 0) + operation.bytes * count,
        source: known === undefined ? operation.source : worse(known.source, operation.source),
        shareOfLimit: total > 0 ? limitSeconds / total : 0,
        bound: operation.bound,
        limitSeconds,
      });
    }
  }
  return [...shares.values()]
    .map(({ limitSeconds: _, ...share }) => share)
    .sort((a, b) => b.seconds - a.seconds);
}

/** One line for each class of operation, with the table or formula that its number is from. */
function sourceNotes(input: PlanningInput, { uses, optimizer, step }: SimulatedStep): SourceNote[] {
  const notes = new Map<string, SourceNote & { seconds: number }>();
  for (const { price, count } of uses) {
    for (const { name, seconds, source, relativeError } of price.operations) {
      const known = notes.get(name);
      notes.set(name, {
        what: name,
        source: known === undefined ? source : worse(known.source, source),
        relativeError: Math.max(known?.relativeError ?? 0, relativeError),
        from: originOf(name),
        seconds: (known?.seconds ?? 0) + seconds * count,
      });
    }
  }
  const bySeconds = [...notes.values()].sort((a, b) => b.seconds - a.seconds);
  const note = (what: string, { source, relativeError }: Estimate, from: string): SourceNote => ({
    ...{ what, source, relativeError, from },
  });
  return [
    note('step', step, 'programs walked with the prices below'),
    ...calibrationNotes(input.calibration),
    ...bySeconds.map(({ seconds: _, ...each }) => each),
    note('optimizer', at(optimizer, 0).total, 'bytes of gradients, moments and weights'),
    ...(input.run === undefined
      ? []
      : [{ what: 'run', source: 'derived' as const, relativeError: 0, from: ownStep(input.run) }]),
    {
      what: 'cluster',
      source: 'derived',
      relativeError: 0,
      from: `${input.cluster.name}: ${Object.keys(input.cluster.sources).length} notes on origins`,
    },
  ];
}

function ownStep({ source }: TrainingRun): string {
  return `batch, length, format and tokens where none are given: ${source}`;
}

function calibrationNotes(calibration: Calibration | undefined): SourceNote[] {
  if (calibration === undefined) return [];
  const { classes, source, madeOn } = calibration;
  const errors = classes.flatMap(({ relativeError }) => relativeError ?? []);
  const relativeError = Math.max(0, ...errors);
  const from = `${classes.length} classes measured in ${source.trace}, ${madeOn}`;
  return [{ what: 'calibration', source: 'fitted', relativeError, from }];
}

function originOf(name: string): string {
  if (name.startsWith('fp8WeightGradient')) return 'DeepGEMM’s published weight gradients';
  if (name.startsWith('fp8')) return 'DeepGEMM’s published tables';
  if (name.startsWith('bf16')) return 'published BF16 products; InferSim’s H800 tables';
  if (name === 'attentionForward') return 'InferSim’s H800 table of MLA prefill';
  if (name === 'attentionBackward') return 'FlashAttention-3’s published backward';
  if (name === 'dispatch' || name === 'combine') return 'DeepEP’s published tables';
  if (['allGather', 'reduceScatter', 'allReduce'].includes(name)) return 'bytes over links';
  return 'bytes over memory bandwidth';
}

function derivedValues(input: PlanningInput, simulated: SimulatedStep): Record<string, number> {
  const { plan, cluster } = input;
  const { scaleUp, scaleOut, gpusPerNode, gpu } = cluster;
  const network = (scaleOut.nicBytesPerSecond * scaleOut.nicsPerNode) / gpusPerNode;
  return {
    microBatches: numMicroBatches(plan),
    nodes: cluster.numGpus / gpusPerNode,
    scaleUpBytesPerSecond: scaleUp.bytesPerSecond,
    scaleUpReachedBytesPerSecond: scaleUp.bytesPerSecond * scaleUp.achievableShare,
    networkBytesPerSecond: network,
    networkReachedBytesPerSecond: network * scaleOut.achievableShare,
    memoryBytesPerSecond: gpu.memoryBytesPerSecond,
    hostBytesPerSecond: cluster.host.bytesPerSecond,
    messageSeconds: simulated.messageSeconds,
    expertImbalance: imbalanceOf(input.model, plan.layout, input.imbalance),
  };
}
