/**
 * How a model is spread over ranks, and what one training step of it is.
 *
 * world = pp × tp × dp. Expert parallelism is no factor: its groups lie inside the dp × tp ranks of
 * a pipeline stage, so ep divides that product. Ranks are numbered tp first, then dp, then pp: the
 * ranks of one stage are neighbours, as DeepSeek-V3 places them (report, 3.2).
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { EngineTraits } from './engineTraits.ts';

export interface ParallelPlan {
  readonly dp: number;
  readonly pp: number;
  readonly ep: number;
  readonly tp: number;
  /** 0 keeps everything everywhere; 1 splits moments and master weights, 2 gradients, 3 weights. */
  readonly zeroStage: 0 | 1 | 2 | 3;
}

export type ScheduleName =
  | 'gpipe'
  | '1f1b'
  | 'interleaved-1f1b'
  | 'zb1p'
  | 'dualpipe'
  | 'dualpipev';

export const scheduleNames: readonly ScheduleName[] = [
  'gpipe',
  '1f1b',
  'interleaved-1f1b',
  'zb1p',
  'dualpipe',
  'dualpipev',
];

/** What backward makes again because forward did not keep it; `block` is everything. */
export interface RecomputeItems {
  readonly norm: boolean;
  readonly mlaUpProjection: boolean;
  readonly swiglu: boolean;
  readonly block: boolean;
}

const nothing: RecomputeItems = {
  norm: false,
  mlaUpProjection: false,
  swiglu: false,
  block: false,
};

export type NamedRecompute = 'none' | 'norm' | 'swiglu' | 'v3' | 'full';

/** Policies by name; `norm` and `v3` are those of DeepSeek-V3 (report, 3.2.3 and 3.3.3). */
export const recomputePolicies: Readonly<Record<NamedRecompute, RecomputeItems>> = {
  none: nothing,
  norm: { ...nothing, norm: true, mlaUpProjection: true },
  swiglu: { ...nothing, swiglu: true },
  v3: { ...nothing, norm: true, mlaUpProjection: true, swiglu: true },
  full: { ...nothing, block: true },
};

/** `auto`: the least recomputed FLOPs with which the plan fits. */
export type RecomputePolicy = NamedRecompute | 'auto';

/** Number format of the large products: FP8 with fine-grained scales (report, 3.3), or BF16. */
export type Precision = 'fp8' | 'bf16';

/**
 * What experts' results (and gradients of their inputs) travel in. BF16 in V3 (report, 3.3.3);
 * `fp8` with a scale for 128 elements; LogFMT with a range for 128 (ISCA 2025, 3.2).
 */
export type CombineFormat = 'bf16' | 'fp8' | 'logfmt8' | 'logfmt10';

/** One training step of one model on one cluster, everything chosen. */
export interface TrainingPlan {
  readonly layout: ParallelPlan;
  readonly schedule: ScheduleName;
  /** Model chunks on each pipeline rank: 2 in DualPipe(V), any in interleaved 1F1B, else 1. */
  readonly chunksPerRank: number;
  /** Sequences of a step, over all pipelines. */
  readonly globalBatch: number;
  /** Sequences of one micro-batch. */
  readonly microBatchSize: number;
  /** Tokens of a sequence. */
  readonly sequenceLength: number;
  readonly precision: Precision;
  readonly recompute: RecomputePolicy;
  /** Whether MTP modules are trained too. */
  readonly mtp: boolean;
  /** BF16 where absent. */
  readonly combineFormat?: CombineFormat;
  /** As DeepSeek's own engine, unless given. */
  readonly engine?: EngineTraits;
}

/** Micro-batches of one pipeline in one step. */
export function numMicroBatches(plan: TrainingPlan): number {
  return plan.globalBatch / (plan.layout.dp * plan.microBatchSize);
}

export function worldSize(layout: ParallelPlan): number {
  return layout.dp * layout.pp * layout.tp;
}

const WORD = /^(dp|pp|ep|tp|zero)(\d+)$/;

/**
 * Reads `pp16,ep64,zero1`: words in any order, each once; dp follows from the world unless named.
 *
 * @throws plan.layout for an unknown word, a zero, a repetition, a product that is not the world
 */
export function parseLayout(text: string, numRanks: number): ParallelPlan {
  const given = new Map<string, number>();
  for (const word of text.split(',').map((each) => each.trim().toLowerCase())) {
    const [, name = '', digits = ''] = WORD.exec(word) ?? [];
    if (name === '') {
      const near = nearestName(word.replace(/\d+$/, ''), ['dp', 'pp', 'ep', 'tp', 'zero']);
      throw new MoebiusError('plan.layout', `"${word}" is no part of a layout`, {
        values: { layout: text },
        hint:
          near === undefined
            ? 'Write it as in pp16,ep64,zero1: dp, pp, ep, tp and zero, each with its number.'
            : `Did you mean ${near}, with its number behind it?`,
      });
    }
    if (given.has(name)) {
      throw new MoebiusError('plan.layout', `"${name}" is given twice`, {
        values: { layout: text },
        hint: 'Name each of dp, pp, ep, tp and zero once.',
      });
    }
    given.set(name, Number(digits));
  }
  const { pp = 1, ep = 1, tp = 1, zero = 0 } = Object.fromEntries(given);
  // What divides by nothing is refused below; no infinite dp beside it.
  const dp = given.get('dp') ?? numRanks / Math.max(1, pp * tp);
  return checkLayout({ dp, pp, ep, tp, zeroStage: zero as ParallelPlan['zeroStage'] }, numRanks);
}

/** @throws plan.layout naming the numbers that do not divide, and the nearest that would */
export function checkLayout(layout: ParallelPlan, numRanks: number): ParallelPlan {
  const { dp, pp, ep, tp, zeroStage } = layout;
  const refuse = (message: string, hint: string): never => {
    throw new MoebiusError('plan.layout', message, { values: { ...layout, numRanks }, hint });
  };
  for (const [name, value] of Object.entries({ pp, ep, tp })) {
    if (!Number.isInteger(value) || value < 1) {
      refuse(`${name} is ${value}`, `Give ${name} a whole number of at least 1.`);
    }
  }
  if (![0, 1, 2, 3].includes(zeroStage)) {
    refuse(`zero is ${zeroStage}`, 'ZeRO has stages 0, 1, 2 and 3.');
  }
  if (!Number.isInteger(dp) || dp < 1) {
    refuse(
      `${numRanks} ranks do not divide by pp × tp = ${pp * tp}`,
      `Choose pp × tp among the divisors of ${numRanks}: ${divisors(numRanks).join(', ')}.`,
    );
  }
  if (dp * pp * tp !== numRanks) {
    refuse(
      `dp × pp × tp is ${dp * pp * tp}, the cluster has ${numRanks} ranks`,
      `Leave dp out, or set it to ${numRanks / (pp * tp)}.`,
    );
  }
  if ((dp * tp) % ep !== 0) {
    const fitting = divisors(dp * tp).join(', ');
    refuse(
      `ep ${ep} does not divide the ${dp * tp} ranks of a stage (dp ${dp} × tp ${tp})`,
      `Choose ep among ${fitting}.`,
    );
  }
  return layout;
}

/** In the words that `parseLayout` reads; factors of one are left out. */
export function formatLayout({ dp, pp, ep, tp, zeroStage }: ParallelPlan): string {
  const words = Object.entries({ pp, ep, tp, dp }).filter(([, value]) => value > 1);
  return [...words, ['zero', zeroStage]].map(([name, value]) => `${name}${value}`).join(',');
}

function divisors(of: number): number[] {
  return Array.from({ length: of }, (_, i) => i + 1).filter((each) => of % each === 0);
}
