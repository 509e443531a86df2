/**
 * A plan that does not fit is refused with what would let it fit: the three cheapest changes, each
 * estimated anew and priced by the caller. Two changes at once are tried only where there are not
 * three single ones, and different kinds come first: three degrees of recomputation are one advice.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes } from '../../base/units.ts';
import {
  type ParallelPlan,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import {
  estimateMemory,
  type LayerRecompute,
  type MemoryInput,
  type RankMemory,
} from '../../simulator/memory/estimateMemory.ts';
import { memoryRecipes } from '../../simulator/memory/memoryRecipe.ts';
import type { StageLayers } from '../../simulator/memory/parameterGroups.ts';
import { autoRecompute } from './autoRecompute.ts';
import { isPossible, type PlanChange, planChanges } from './planChanges.ts';

export interface FixInput {
  readonly input: MemoryInput;
  readonly capBytes: number;
  /** Stages of every rank under a changed plan. */
  readonly stagesOf: (plan: TrainingPlan) => readonly (readonly StageLayers[])[];
  /** Load of the busiest rank under a changed plan; by default as under the plan itself. */
  readonly imbalanceOf?: (plan: TrainingPlan) => number;
  /** What a changed plan costs, in any unit: GPU-seconds or dollars; infinite: it cannot be. */
  readonly priceOf: (
    change: Pick<PlanChange, 'plan' | 'offload'> & {
      /** On one rank, in host memory. */
      readonly offloadedBytes: number;
    },
  ) => number;
}

export interface MemoryFix {
  readonly changes: readonly PlanChange[];
  /** With all changes made. */
  readonly plan: TrainingPlan;
  readonly offload: PlanChange['offload'];
  /** On the fullest rank, before minus after. */
  readonly savedBytes: number;
  readonly peakBytes: number;
  readonly price: number;
  /** In the imperative, with what it saves. */
  readonly text: string;
}

const NUM_FIXES = 3;
/** More changes at once are another plan. */
const MOST_CHANGES = 3;

export function cheapestFixes(caller: FixInput): MemoryFix[] {
  const fix = withKnownStages(caller);
  const { input, capBytes, priceOf } = fix;
  const before = peakBefore(input);
  const found: MemoryFix[] = [];
  const alike: MemoryFix[] = [];
  let open: (readonly PlanChange[])[] = [[]];
  const enough = (): boolean => found.length + alike.length >= NUM_FIXES;
  for (let depth = 1; depth <= MOST_CHANGES && !enough(); depth++) {
    const tooLarge: { changes: readonly PlanChange[]; peak: number }[] = [];
    const fitting: MemoryFix[] = [];
    for (const changes of open.flatMap((each) => extended(input, each))) {
      const { plan, offload } = at(changes, changes.length - 1);
      const rank = fullestOf(fix, { plan, offload });
      const peak = rank?.peak.total ?? Number.POSITIVE_INFINITY;
      if (rank === null || peak > capBytes) {
        tooLarge.push({ changes, peak });
        continue;
      }
      const savedBytes = before - peak;
      const price = priceOf({ plan, offload, offloadedBytes: rank.host.offloaded });
      if (!Number.isFinite(price)) continue;
      const text = describe(changes, savedBytes);
      fitting.push({ changes, plan, offload, savedBytes, peakBytes: peak, price, text });
    }
    for (const each of fitting.sort(byPrice)) {
      (found.some((other) => isSameAdvice(other, each)) ? alike : found).push(each);
    }
    // Of each kind go on with the one that saves most.
    open = mostSaving(tooLarge);
  }
  return [...found, ...alike].slice(0, NUM_FIXES).sort(byPrice);
}

/**
 * Stages follow from the pipeline's shape; what else a change does to the split of layers is left
 * to whoever makes it. Cutting them anew may be as dear as pricing a plan.
 */
function withKnownStages(fix: FixInput): FixInput {
  const shapeOf = ({ layout, schedule, chunksPerRank, mtp }: TrainingPlan): string =>
    [layout.pp, schedule, chunksPerRank, mtp].join();
  const known = new Map([[shapeOf(fix.input.plan), fix.input.stages]]);
  return {
    ...fix,
    stagesOf: (plan) => {
      const shape = shapeOf(plan);
      const stages = known.get(shape) ?? fix.stagesOf(plan);
      known.set(shape, stages);
      return stages;
    },
  };
}

function byPrice(a: MemoryFix, b: MemoryFix): number {
  return a.price - b.price || a.peakBytes - b.peakBytes;
}

/** Changes of other kinds, in a fixed order of kinds so that no set of them comes twice. */
function extended(input: MemoryInput, changes: readonly PlanChange[]): (readonly PlanChange[])[] {
  const last = changes.at(-1);
  const subject = last ?? { plan: input.plan, offload: offloadOf(input) };
  const taken = new Set(changes.map(({ kind }) => kind));
  return planChanges(input.model, subject)
    .filter(({ kind }) => !taken.has(kind) && (last === undefined || kind > last.kind))
    .map((change) => [...changes, change]);
}

function mostSaving(
  tried: readonly { changes: readonly PlanChange[]; peak: number }[],
): (readonly PlanChange[])[] {
  const best = new Map<string, { changes: readonly PlanChange[]; peak: number }>();
  for (const each of tried) {
    const kinds = kindsOf(each.changes);
    const known = best.get(kinds);
    if (known === undefined || each.peak < known.peak) best.set(kinds, each);
  }
  return [...best.values()].map(({ changes }) => changes);
}

function kindsOf(changes: readonly PlanChange[]): string {
  return changes.map(({ kind }) => kind).join();
}

/** The same kinds, or one fix with a needless change on top. */
function isSameAdvice(known: MemoryFix, other: MemoryFix): boolean {
  const kinds = new Set(other.changes.map(({ kind }) => kind));
  return known.changes.every(({ kind }) => kinds.has(kind));
}

function describe(changes: readonly PlanChange[], savedBytes: number): string {
  const words = changes.map(({ text }, index) =>
    index === 0 ? text : `${text.charAt(0).toLowerCase()}${text.slice(1)}`,
  );
  return `${words.join(' and ')} (${formatBytes(savedBytes)} less).`;
}

function offloadOf(input: MemoryInput): PlanChange['offload'] {
  return (input.recipe ?? memoryRecipes[input.plan.precision]).offload;
}

/** What the plan asks for as it is; under `auto`, with everything made again. */
function peakBefore(input: MemoryInput): number {
  const isOpen = input.plan.recompute === 'auto' && input.recompute === undefined;
  const least = isOpen ? { ...input, recompute: () => recomputePolicies.full } : input;
  return fullest(estimateMemory(least)).peak.total;
}

/** Null where `auto` finds nothing that fits. */
function fullestOf(
  { input, capBytes, stagesOf, imbalanceOf }: FixInput,
  { plan, offload }: Pick<PlanChange, 'plan' | 'offload'>,
): RankMemory | null {
  const isChanged = plan !== input.plan;
  const { liveChunks, recompute, ...rest } = input;
  const recipe = { ...(input.recipe ?? memoryRecipes[plan.precision]), offload };
  // A walk's counts and a choice by layer belong to the plan that they were made for.
  const own = isChanged
    ? {}
    : { ...(liveChunks && { liveChunks }), ...(recompute && { recompute }) };
  const stages = isChanged ? stagesOf(plan) : input.stages;
  const busiest = isChanged && imbalanceOf ? { imbalance: imbalanceOf(plan) } : {};
  const next: MemoryInput = { ...rest, ...own, ...busiest, recipe, plan, stages };
  if (plan.recompute !== 'auto' || next.recompute) return fullest(estimateMemory(next));
  const found = autoRecompute(next, capBytes);
  return found === null ? null : fullest(found.ranks);
}

export function fullest(ranks: readonly RankMemory[]): RankMemory {
  return ranks.reduce((most, each) => (each.peak.total > most.peak.total ? each : most));
}

/** Memory of a plan, `auto` resolved. */
export interface FittedMemory {
  readonly ranks: readonly RankMemory[];
  readonly recompute: LayerRecompute | undefined;
}

/** Null for a plan that does not fit. */
export function tryFit(input: MemoryInput, capBytes: number): FittedMemory | null {
  if (input.plan.recompute === 'auto' && input.recompute === undefined) {
    return autoRecompute(input, capBytes);
  }
  const ranks = estimateMemory(input);
  return fullest(ranks).peak.total > capBytes ? null : { ranks, recompute: input.recompute };
}

/**
 * Memory of a plan that fits.
 *
 * @throws plan.memory as `requireFit`
 */
export function fitMemory(fix: FixInput): FittedMemory {
  const { input, capBytes } = fix;
  const found = tryFit(input, capBytes);
  if (found !== null) return found;
  const isOpen = input.plan.recompute === 'auto' && input.recompute === undefined;
  const recompute = isOpen ? () => recomputePolicies.full : input.recompute;
  const ranks = estimateMemory({ ...input, ...(recompute && { recompute }) });
  requireFit(ranks, fix);
  return { ranks, recompute };
}

/**
 * @throws plan.memory naming the fullest rank, what is alive there, the cap, and the fixes
 */
export function requireFit(ranks: readonly RankMemory[], fix: FixInput): void {
  const { rank, peak, live } = fullest(ranks);
  const { capBytes, input } = fix;
  if (peak.total <= capBytes) return;
  const fixes = isPossible(input.model, input.plan) ? cheapestFixes(fix) : [];
  const words = live.slice(0, 3).map(({ what, bytes }) => `${what} ${formatBytes(bytes)}`);
  throw new MoebiusError(
    'plan.memory',
    `rank ${rank} needs ${formatBytes(peak.total)} of ${formatBytes(capBytes)} (${peak.name}): ` +
      `${words.join(', ')}`,
    {
      values: {
        rank,
        phase: peak.name,
        peakBytes: peak.total,
        capBytes,
        live,
        fixes: fixes.map(({ text, savedBytes, price }) => ({ text, savedBytes, price })),
      },
      hint:
        fixes.length > 0
          ? fixes.map(({ text }) => text).join(' Or: ')
          : 'Choose a GPU with more memory or a smaller model: no three changes together suffice.',
    },
  );
}

/**
 * @throws plan.hostMemory when the moving average and offloaded state exceed a node's memory
 */
export function requireHostFit(
  ranks: readonly RankMemory[],
  node: {
    readonly memoryBytes: number;
    readonly gpus: number;
    readonly zeroStage: ParallelPlan['zeroStage'];
  },
): void {
  const perGpu = Math.max(...ranks.map(({ host }) => host.average + host.offloaded));
  const bytes = perGpu * node.gpus;
  if (bytes <= node.memoryBytes) return;
  throw new MoebiusError(
    'plan.hostMemory',
    `a node's ${node.gpus} GPUs ask for ${formatBytes(bytes)} of host memory, ` +
      `it has ${formatBytes(node.memoryBytes)}`,
    {
      values: { hostBytes: bytes, memoryBytes: node.memoryBytes, gpus: node.gpus },
      hint:
        node.zeroStage === 0
          ? 'Raise zero to 1 or more, so that each GPU keeps a share of the average and moments.'
          : 'Raise dp or pp, so that each GPU keeps a smaller share, or correct host.memoryBytes.',
    },
  );
}
