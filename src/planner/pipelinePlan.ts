/**
 * A plan's pipeline before any second is known: which layers each stage has, which stages each
 * rank, and the programs that the ranks will run. The same programs run for real.
 */
import { MoebiusError } from '../base/errors.ts';
import { hasExperts } from '../config/flops.ts';
import { isGqa, type PlannedModel } from '../config/gqaModelConfig.ts';
import { numMicroBatches, type TrainingPlan } from '../config/parallelPlan.ts';
import { type StageParts, stagePartsOf } from '../policy/overlap/stageParts.ts';
import { lower, wholeStep } from '../policy/pipeline/lower.ts';
import { numStagesOf, pipelineSchedule } from '../policy/pipeline/pipelineSchedule.ts';
import type { StepSettings } from '../policy/pipeline/singleRank.ts';
import { splitLayers, WORTH_OF_MEMORY } from '../policy/plan/splitLayers.ts';
import type { Program, TrainingInstruction } from '../program/instruction.ts';
import type { PipelineSchedule } from '../program/pipelineAction.ts';
import { liveChunks } from '../simulator/memory/liveChunks.ts';

/** Layers `first` … `last − 1`, and the ends that lie there; the model's own `Stage`. */
export interface PlannedStage {
  readonly first: number;
  readonly last: number;
  readonly hasEmbedding: boolean;
  readonly hasHead: boolean;
}

/** A forward and a backward pass of one micro-batch through each kind of slice, in any unit. */
export interface SliceCosts {
  readonly dense: number;
  readonly moe: number;
  readonly embedding: number;
  /** With its MTP modules. */
  readonly head: number;
}

export function isMoe(model: PlannedModel, layer: number): boolean {
  return hasExperts(model, layer);
}

/** MTP modules that a plan trains. */
export function numMtpModules(model: PlannedModel, plan: TrainingPlan): number {
  return plan.mtp && !isGqa(model) ? model.numNextnPredictLayers : 0;
}

/** Which stages each rank holds; in DualPipe(V) first that of the direction it is numbered in. */
export function stagesOfRanks(plan: TrainingPlan): readonly (readonly number[])[] {
  const { schedule, chunksPerRank, layout } = plan;
  const { pp } = layout;
  return Array.from({ length: pp }, (_, rank) => {
    switch (schedule) {
      case 'dualpipe':
        return [rank, pp - 1 - rank];
      case 'dualpipev':
        return [rank, 2 * pp - 1 - rank];
      case 'interleaved-1f1b':
        return Array.from({ length: chunksPerRank }, (_, chunk) => rank + chunk * pp);
      case 'gpipe':
      case '1f1b':
      case 'zb1p':
        return [rank];
      default:
        return schedule satisfies never;
    }
  });
}

/** How much memory counts when layers are split. */
export interface MemoryWeight {
  /** Of a rank with the mean number of layers less, in shares of its time. */
  readonly worth: number;
  /** Layers that the head, without MTP modules, keeps as much as. */
  readonly head: number;
}

/** The split of layers that leaves the busiest rank the least to do, as far as memory is worth. */
export function planStages(
  model: PlannedModel,
  plan: TrainingPlan,
  costs: SliceCosts,
  weight: MemoryWeight = { worth: WORTH_OF_MEMORY, head: 1 },
): readonly PlannedStage[] {
  const numLayers = model.numHiddenLayers;
  const ranges = splitLayers({
    layerCosts: Array.from({ length: numLayers }, (_, layer) =>
      isMoe(model, layer) ? costs.moe : costs.dense,
    ),
    embeddingCost: costs.embedding,
    headCost: costs.head,
    headLayers: weight.head + numMtpModules(model, plan),
    stagesOfRank: stagesOfRanks(plan),
    liveChunksOfRank: liveChunks(plan).map(({ kept }) => kept),
    rounds: plan.schedule === 'interleaved-1f1b' ? 'together' : 'free',
    worthOfMemory: weight.worth,
  });
  return ranges.map(({ first, last }, stage) => ({
    first,
    last,
    hasEmbedding: stage === 0,
    hasHead: stage === ranges.length - 1,
  }));
}

/** What a stage is made of, for the inner order of its passes. */
export function partsOfStage(
  model: PlannedModel,
  plan: TrainingPlan,
  { first, last, hasEmbedding, hasHead }: PlannedStage,
): StageParts {
  const parts = stagePartsOf({
    first,
    last,
    numLayers: model.numHiddenLayers,
    isMoe: (layer) => isMoe(model, layer),
    hasSharedExperts: model.nSharedExperts > 0,
    numMtpBlocks: hasHead ? numMtpModules(model, plan) : 0,
  });
  // A stage without layers has the end it was given, not both.
  return { ...parts, hasEmbedding, hasHead };
}

/**
 * What a step decides besides its order. No number of these changes how long it takes, so a plan
 * has none of its own.
 */
export const anySettings: StepSettings = {
  mtpWeight: 0.3,
  balanceCoefficient: 1e-4,
  biasSpeed: 0.001,
  optimizer: {
    step: 1,
    learningRate: 1e-4,
    weightDecay: 0.1,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    maxGradientNorm: 1,
    averageDecay: null,
  },
};

export interface PlannedPrograms {
  readonly schedule: PipelineSchedule;
  /** The whole step of every rank of one pipeline. */
  readonly programs: readonly Program<TrainingInstruction>[];
}

/** A step is written out pass by pass: half a million take some twenty seconds and 2 GB. */
const MOST_PASSES = 500_000;

/** @throws plan.size for a step that is too long to be written out, or cut into too many stages */
export function requireSize(model: PlannedModel, plan: TrainingPlan): void {
  const { layout, chunksPerRank, schedule } = plan;
  const stages = numStages(plan);
  if (stages > model.numHiddenLayers + 2) {
    throw new MoebiusError('plan.stages', `${model.numHiddenLayers} layers for ${stages} stages`, {
      values: { layers: model.numHiddenLayers, stages, pp: layout.pp, chunksPerRank },
      hint: `Lower pp, or the chunks of each rank, to at most ${model.numHiddenLayers + 2} stages.`,
    });
  }
  const count = numMicroBatches(plan);
  const passes = count * layout.pp * (schedule === 'dualpipe' ? 1 : chunksPerRank);
  if (passes <= MOST_PASSES) return;
  throw new MoebiusError('plan.size', `a step of ${passes} passes is too long to be simulated`, {
    values: { passes, most: MOST_PASSES, microBatches: count, pp: layout.pp },
    hint: 'Lower --global-batch, or raise --micro-batch or dp: steps are alike, so plan a shorter.',
  });
}

/** @throws pipeline.schedule when the schedule cannot take these ranks and micro-batches */
export function planPrograms(
  model: PlannedModel,
  plan: TrainingPlan,
  stages: readonly PlannedStage[],
): PlannedPrograms {
  const { schedule: name, chunksPerRank, layout } = plan;
  const count = numMicroBatches(plan);
  const schedule = pipelineSchedule({
    name,
    numRanks: layout.pp,
    numMicroBatches: count,
    chunksPerRank,
  });
  const numTokens = plan.globalBatch * plan.sequenceLength;
  const step = lower({
    schedule,
    settings: anySettings,
    normalizers: { main: numTokens, mtp: [] },
    numMicroBatches: count * layout.dp,
    stages: stages.map((stage) => partsOfStage(model, plan, stage)),
  });
  return { schedule, programs: wholeStep(step) };
}

export function numStages(plan: TrainingPlan): number {
  const { schedule: name, layout, chunksPerRank } = plan;
  return numStagesOf({ name, numRanks: layout.pp, chunksPerRank });
}
