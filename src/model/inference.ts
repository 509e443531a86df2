/**
 * Serving passes: no gradients, and attention over paged caches of latents.
 *
 * Prompts attend the plain way, with keys and values projected up from the cache for every
 * position, a piece at a time. Other rows use the absorbed form (DeepSeek-V2 report, 2.1.2): the
 * up-projections move to the query and to the output, so a step reads C + P numbers per cached
 * token instead of H · (N + V).
 *
 *     qa = UKᵀ q_nope     score = qa · c + q_pe · k_pe     o = UV · Σ p c     [UK; UV] = Wkvb
 *
 * Legend: T rows, H heads, N nope dim, P rope dim, V value dim, C latent rank.
 */
import { assert, at } from '../base/assert.ts';
import { type F32, type I32, type LatentCache, MAX_DECODE_ROWS } from '../kernels/kernels.ts';
import { columns, numRows, reshape, slices } from '../tensor/tensor.ts';
import type { BlockWeights } from './block.ts';
import { allocateF32, countsOfLayer, type Rows, type Shared, type StepContext } from './context.ts';
import { embeddingForward, gatherRows } from './embedding.ts';
import { linearForward } from './linear.ts';
import { type MlaWeights, outputForward, type Projected, projectForward } from './mla.ts';
import type { Model } from './model.ts';
import { combineForward, dispatchForward, expertsForward } from './moe.ts';
import { joinForward } from './mtp.ts';
import { f32Values } from './parameters.ts';
import { LATENT_NORM_EPS, normForward } from './rmsNorm.ts';
import { ruleOf } from './router.ts';
import type { LatentCaches, ServingRows } from './servingRows.ts';

/** States of every row, after the last norm and before it: what a head and an MTP module read. */
export interface States {
  readonly postNorm: F32;
  readonly preNorm: F32;
}

/** Runs new rows through the main model, appending to its caches. */
export function runRows(
  context: StepContext,
  model: Model,
  args: { rows: ServingRows; caches: LatentCaches },
): States {
  const { rows, caches } = args;
  const { end, embedding, shared } = model;
  assert(end !== null && embedding !== null, 'serving runs the whole model');
  // Blocks work in place.
  const preNorm = embeddingForward(context, embedding, rows.ids);
  const postNorm = allocateF32(context, ...preNorm.shape);
  for (const block of model.blocks) blockRows(context, shared, block, { x: preNorm, rows, caches });
  normForward(context, end.norm, { x: preNorm, eps: end.eps, out: postNorm });
  return { postNorm, preNorm };
}

/**
 * Runs MTP module `depth` over rows it has not seen, appending to its cache.
 *
 * @param rows their ids are the tokens `depth` places on: for depth 1 what was sampled or drafted
 *   behind each position; positions and blocks are those of the states they continue
 * @param previous what the module continues (`continuedState` of the depth before, 0: the main
 *   model) at the same positions, in the order of `rows`: prompts first
 */
export function draftRows(
  context: StepContext,
  model: Model,
  args: { depth: number; previous: F32; rows: ServingRows; caches: LatentCaches },
): States {
  const { depth, previous, rows, caches } = args;
  const { shared } = model;
  const module = at(model.mtp, depth - 1);
  const preNorm = allocateF32(context, rows.count, shared.config.hiddenSize);
  const postNorm = allocateF32(context, ...preNorm.shape);
  const mark = context.arena.mark();
  joinForward(context, shared, module, { previous, ids: rows.ids, out: preNorm });
  blockRows(context, shared, module.block, { x: preNorm, rows, caches });
  context.arena.release(mark);
  normForward(context, module.end.norm, { x: preNorm, eps: module.end.eps, out: postNorm });
  return { postNorm, preNorm };
}

/**
 * Logits of chosen rows, `[n, vocabulary]`, each to the bit what it would be alone; the head is
 * shared by the model and its modules. They are new, or written to `out`.
 */
export function logitsOfRows(
  context: StepContext,
  model: Model,
  args: { states: States; rows: I32; out?: F32 },
): F32 {
  assert(model.end !== null, 'serving runs the whole model');
  const chosen = gatherRows(context, args.states.postNorm, args.rows);
  const { weight, shape } = model.end.head;
  const out = args.out ?? allocateF32(context, numRows(chosen), at(shape, 0));
  context.kernels.matmul({ out, a: chosen, b: weight, layout: 'nt', order: 'streamed' });
  return out;
}

/**
 * A few rows that all attend to the cache go through a block in two operations; a token is then as
 * fast as memory gives the weights.
 */
function decodeBlock(
  context: StepContext,
  shared: Shared,
  { attention, feedForward }: BlockWeights,
  args: {
    x: F32;
    rows: ServingRows;
    cached: NonNullable<ServingRows['cached']>;
    cache: LatentCache;
  },
): void {
  const { x, rows, cached, cache } = args;
  const { config } = shared;
  const { qLatent } = attention;
  // Written out: copying parts of objects takes longer than all the rest, 24 times a token.
  context.kernels.mlaDecode({
    x_TD: x,
    positions_T: rows.positions,
    slots_T: rows.slots,
    cache,
    blockTable: cached.blockTable,
    sequence_T: cached.sequence_T,
    length_T: cached.length_T,
    table: shared.ropeTable,
    gain: f32Values(attention.norm),
    qLatent: qLatent ? { down: qLatent.down.weight, gain: f32Values(qLatent.norm) } : undefined,
    q: attention.q.weight,
    kvDown: attention.kvDown.weight,
    kvGain: f32Values(attention.kvNorm),
    kv: attention.kv.weight,
    o: attention.o.weight,
    numHeads: config.numAttentionHeads,
    eps: config.rmsNormEps,
    latentEps: LATENT_NORM_EPS,
    scale: shared.softmaxScale,
  });
  const { mlp, routed } = feedForward;
  context.kernels.feedForwardDecode({
    x_TD: x,
    gain: f32Values(feedForward.norm),
    eps: config.rmsNormEps,
    mlp: mlp === null ? undefined : { gateUp: mlp.gateUp.weight, down: mlp.down.weight },
    routed:
      routed === null
        ? undefined
        : {
            router: routed.router.gate.weight,
            bias_E: f32Values(routed.router.bias),
            counts_E: countsOfLayer(context.counts, routed.router.layer),
            gateUp: routed.gateUp.weight,
            down: routed.down.weight,
            rule: ruleOf(shared),
          },
  });
}

/** One block, in place. */
function blockRows(
  context: StepContext,
  shared: Shared,
  block: BlockWeights,
  args: { x: F32; rows: ServingRows; caches: LatentCaches },
): void {
  const { x, rows, caches } = args;
  const cache = caches.layers.get(block.layer);
  assert(cache !== undefined, `layer ${block.layer} has a cache`);
  const { cached } = rows;
  const isFew = rows.count <= MAX_DECODE_ROWS && rows.prompts.length === 1;
  if (isFew && cached !== null && context.capture === undefined) {
    decodeBlock(context, shared, block, { x, rows, cached, cache });
    return;
  }
  const mark = context.arena.mark();
  const y = attendRows(context, shared, block.attention, { x, rows, cache });
  const feedForward = block.feedForward;
  const dispatched = dispatchForward(context, shared, feedForward, {
    y,
    rows: rowsOf(rows),
    balance: null,
  });
  const experts = expertsForward(context, feedForward, dispatched);
  const { out } = combineForward(context, feedForward, { dispatched, experts });
  context.kernels.copy({ out: x, x: out });
  context.arena.release(mark);
}

function attendRows(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: { x: F32; rows: ServingRows; cache: LatentCache },
): F32 {
  const { x, rows, cache } = args;
  const { kernels } = context;
  const { numAttentionHeads: H, vHeadDim: V } = shared.config;
  const out = allocateF32(context, ...x.shape);
  const projected = projectForward(context, shared, weights, { x, positions: rows.positions });
  const { latent, kPe_TP } = projected;
  kernels.appendCache({ cache, latent_TC: latent.out, kPe_TP, slots_T: rows.slots });
  const heads = allocateF32(context, rows.count, H, V);
  const numPromptRows = at(rows.prompts, rows.prompts.length - 1);
  if (numPromptRows > 0) {
    attendPrompts(context, shared, weights, { q_THD: projected.q_THD, rows, cache, heads });
  }
  if (rows.cached !== null) {
    const part = { projected, cached: rows.cached, first: numPromptRows, cache, heads };
    attendCached(context, shared, weights, part);
  }
  outputForward(context, weights, { out, x, heads });
  return out;
}

function attendPrompts(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: { q_THD: F32; rows: ServingRows; cache: LatentCache; heads: F32 },
): void {
  const { q_THD, rows, cache, heads } = args;
  const { kernels, arena } = context;
  const { config } = shared;
  const { numAttentionHeads: H, qkNopeHeadDim: N, vHeadDim: V } = config;
  const T = at(rows.prompts, rows.prompts.length - 1);
  const logSumExp_TH = allocateF32(context, T, H);
  for (const { slots, firstRow, endRow, sequences, keys, isFirst } of rows.pieces) {
    const mark = arena.mark();
    const S = at(slots.shape, 0);
    const latent_TC = allocateF32(context, S, config.kvLoraRank);
    const kPe_TP = allocateF32(context, S, config.qkRopeHeadDim);
    kernels.readCache({ latent_TC, kPe_TP, cache, slots_T: slots });
    const kv = linearForward(context, weights.kv, latent_TC);
    kernels.mlaAttention({
      out_THV: slices(heads, firstRow, endRow),
      logSumExp_TH: slices(logSumExp_TH, firstRow, endRow),
      q_THD: slices(q_THD, firstRow, endRow),
      kv_THD: reshape(kv, [S, H, N + V]),
      kPe_TP,
      sequences,
      keys,
      accumulate: !isFirst,
      scale: shared.softmaxScale,
    });
    arena.release(mark);
  }
}

function attendCached(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: {
    projected: Projected;
    cached: NonNullable<ServingRows['cached']>;
    first: number;
    cache: LatentCache;
    heads: F32;
  },
): void {
  const { projected, cached, first, cache } = args;
  const { kernels } = context;
  const { config } = shared;
  const { numAttentionHeads: H, qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = config;
  const end = numRows(projected.latent.out);
  const q_THD = slices(projected.q_THD, first, end);
  const heads = slices(args.heads, first, end);
  const absorbed_THC = allocateF32(context, end - first, H, config.kvLoraRank);
  const latents_THC = allocateF32(context, end - first, H, config.kvLoraRank);
  const up = { b: weights.kv.weight, rowsPerHead: N + V };
  const keys = { ...up, firstRow: 0, numRows: N, layout: 'nn' as const };
  const values = { ...up, firstRow: N, numRows: V, layout: 'nt' as const };
  kernels.headMatmul({ out: absorbed_THC, a: columns(q_THD, 0, N), ...keys });
  kernels.absorbedAttention({
    out_THC: latents_THC,
    q_THC: absorbed_THC,
    qPe_THP: columns(q_THD, N, N + P),
    cache,
    ...cached,
    scale: shared.softmaxScale,
  });
  kernels.headMatmul({ out: heads, a: latents_THC, ...values });
}

/** The feed-forward half looks at rows one by one: sequences matter to no part of it here. */
function rowsOf(rows: ServingRows): Rows {
  return { count: rows.count, positions: rows.positions, sequences: [0, rows.count] };
}
