/**
 * A stage's work, from the model's own code: at most four slices are traced on the meta kernels
 * (embedding, a dense layer, a layer with experts, the head with MTP), turned into GPU kernels by
 * the recipe, and put together for any range of layers.
 *
 * Where a rank of many differs from the model's one-rank order: with experts elsewhere, tokens are
 * sent once per rank and not once per expert, so rows are made and summed where the experts lie
 * (`permute` and `unpermute` move into the experts' part); with tensor parallelism norms, gate and
 * routed experts see a share of the tokens (sequence parallelism), and sharded products are
 * surrounded by transfers (`tensorTransfers.ts`).
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { EngineTraits, Fp8Scaling } from '../../config/engineTraits.ts';
import { type GqaModelConfig, isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import { isMoeLayer, type ModelConfig } from '../../config/modelConfig.ts';
import type { CombineFormat, Precision, RecomputeItems } from '../../config/parallelPlan.ts';
import { createMetaKernels, type OperationRecord } from '../../kernels/meta.ts';
import type { Stage } from '../../model/parameterLayout.ts';
import { type GqaTrace, traceGqa } from './gqaAttention.ts';
import { rankModel } from './rankModel.ts';
import { GRADIENT, headKernels, Recipe } from './recipe.ts';
import { recomputedBlock, recomputeKey, withRecompute } from './recompute.ts';
import type { KernelWork, PartWork, SliceWork, StageWork } from './stageWork.ts';
import { tensorTransfersOf } from './tensorTransfers.ts';
import { type TracedPart, type TracedSlice, traceSlice } from './tracedSlices.ts';

export interface StageShape {
  readonly model: PlannedModel;
  readonly tp: number;
  readonly ep: number;
  readonly microBatchSize: number;
  readonly sequenceLength: number;
  readonly precision: Precision;
  readonly fp8Scaling: Fp8Scaling;
  readonly engine: EngineTraits;
  readonly recompute: RecomputeItems;
  readonly mtp: boolean;
  /** Load of the busiest rank over the mean, at least 1. */
  readonly imbalance: number;
  /** BF16 where absent. */
  readonly combineFormat?: CombineFormat;
}

export type SliceKind = SliceWork['kind'];

/** Traces once what stages of one shape share. */
export class StageTracer {
  readonly shape: StageShape;
  readonly #slices = new Map<string, SliceWork>();
  readonly #traces: Map<string, TracedSlice>;

  /** @param traces of this model under any shape; what is missing is added */
  constructor(shape: StageShape, traces: Map<string, TracedSlice> = new Map()) {
    this.shape = shape;
    this.#traces = traces;
  }

  /** @param recomputeOf what each layer makes again; by default the shape's, everywhere */
  stage(stage: Stage, recomputeOf?: (layer: number) => RecomputeItems): StageWork {
    const { model, microBatchSize, sequenceLength, tp } = this.shape;
    const config = isGqa(model) ? rankModel(model, { tp: 1, ep: 1 }) : model;
    const slices: SliceWork[] = [];
    if (stage.hasEmbedding) slices.push(this.slice('embedding'));
    for (let layer = stage.first; layer < stage.last; layer++) {
      const slice = this.slice(isMoeLayer(config, layer) ? 'moe' : 'dense', recomputeOf?.(layer));
      slices.push(onLayer(slice, layer));
    }
    if (stage.hasHead) slices.push(this.slice('head'));
    const boundaryBytes = (2 * microBatchSize * sequenceLength * model.hiddenSize) / tp;
    return { slices, boundaryBytes };
  }

  has(kind: SliceKind): boolean {
    const { model } = this.shape;
    const config = isGqa(model) ? rankModel(model, { tp: 1, ep: 1 }) : model;
    if (kind === 'embedding' || kind === 'head') return true;
    return firstLayer(config, kind) !== null;
  }

  slice(kind: SliceKind, recompute: RecomputeItems = this.shape.recompute): SliceWork {
    const key = `${kind} ${recomputeKey(recompute)}`;
    const known = this.#slices.get(key);
    if (known !== undefined) return known;
    const made = makeSlice({ ...this.shape, recompute }, kind, this.#traces);
    this.#slices.set(key, made);
    return made;
  }
}

/** The same work under another layer's number. */
function onLayer(slice: SliceWork, layer: number): SliceWork {
  const named = (parts: readonly PartWork[]): PartWork[] =>
    parts.map((part) => ({ ...part, layer }));
  return {
    ...slice,
    layer,
    forward: named(slice.forward),
    backwardInput: named(slice.backwardInput),
    backwardWeight: named(slice.backwardWeight),
  };
}

function makeSlice(
  shape: StageShape,
  kind: SliceKind,
  traces: Map<string, TracedSlice>,
): SliceWork {
  const { model, tp, ep, sequenceLength, mtp } = shape;
  const config = rankModel(model, { tp, ep });
  const stage = stageOf(config, kind);
  const args = { config, stage, mtp: mtp && kind === 'head', imbalance: shape.imbalance, ep };
  const numSequences = shape.microBatchSize;
  if (sequenceLength % tp !== 0) {
    throw new MoebiusError('plan.layout', `${sequenceLength} tokens do not divide by tp ${tp}`, {
      values: { sequenceLength, tp },
      hint: 'Choose tp among the divisors of the sequence length.',
    });
  }
  // Formats and recomputation come later, so plans that differ only there share a trace.
  const traced = (length: number): TracedSlice => {
    const key = `${kind} ${tp} ${ep} ${numSequences} ${length} ${args.mtp} ${args.imbalance}`;
    const known = traces.get(key) ?? traceSlice({ ...args, numSequences, sequenceLength: length });
    traces.set(key, known);
    return known;
  };
  const whole = traced(sequenceLength);
  const share = tp === 1 ? whole : traced(sequenceLength / tp);
  const gqa = isGqa(model) && (kind === 'dense' || kind === 'moe') ? gqaOf(shape, model) : null;
  const recipe = new Recipe(shape, {
    nameOf: (tensor) => whole.nameOf(tensor) ?? gqa?.nameOf(tensor),
    keys: isGqa(model) ? 'plain' : 'latent',
  });
  const parts = (pass: 'forward' | 'backwardInput' | 'backwardWeight'): PartWork[] =>
    whole[pass].map((part, index) => {
      const records =
        gqa !== null && part.part === 'attention'
          ? gqa[pass]
          : merged(part, at(share[pass], index), whole.nameOf);
      return partWork(shape, { part, records, recipe });
    });
  const slice: SliceWork = withHead(
    {
      kind,
      layer: null,
      forward: withRowsAtExperts(parts('forward'), shape),
      backwardInput: withRowsAtExperts(parts('backwardInput'), shape),
      backwardWeight: parts('backwardWeight'),
    },
    whole,
  );
  const early = withEarlyCasts(slice);
  return shape.recompute.block ? recomputedBlock(early) : withRecompute(early, shape.recompute);
}

/** A stage of nothing but the slice. */
function stageOf(config: ModelConfig, kind: SliceKind): Stage {
  const { numHiddenLayers: end } = config;
  const none = { hasEmbedding: false, hasHead: false };
  if (kind === 'embedding') return { first: 0, last: 0, hasEmbedding: true, hasHead: false };
  if (kind === 'head') return { first: end, last: end, hasEmbedding: false, hasHead: true };
  const layer = firstLayer(config, kind);
  assert(layer !== null, `the model has no ${kind} layer`);
  return { first: layer, last: layer + 1, ...none };
}

function firstLayer(config: ModelConfig, kind: 'dense' | 'moe'): number | null {
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    if (isMoeLayer(config, layer) === (kind === 'moe')) return layer;
  }
  return null;
}

function gqaOf(shape: StageShape, model: GqaModelConfig): GqaTrace {
  const { tp, sequenceLength, microBatchSize: numSequences } = shape;
  return traceGqa(createMetaKernels(), { model, tp, numSequences, sequenceLength });
}

/** Products that see a rank's share of the tokens although others see all. */
const PER_TOKEN_SHARE = [
  'mlp.gate.weight',
  'q_a_proj.weight',
  'kv_a_proj_with_mqa.weight',
  'eh_proj.weight',
];

/** Each operation with the tokens it sees: all of the group's, or the rank's share. */
function merged(
  whole: TracedPart,
  share: TracedPart,
  nameOf: TracedSlice['nameOf'],
): OperationRecord[] {
  return whole.records.map((record, index) => {
    const own = at(share.records, index);
    const isWhole = seesAllTokens(record, nameOf);
    // Which tensor it is says the trace of the whole; how large it is the trace of the share.
    return isWhole ? record : { ...own, args: isMove(record) ? own.args : record.args };
  });
}

function isMove({ operation }: OperationRecord): boolean {
  return operation === 'permute' || operation === 'unpermuteBackwardInput';
}

function seesAllTokens(record: OperationRecord, nameOf: TracedSlice['nameOf']): boolean {
  const { operation, args = {} } = record;
  switch (operation) {
    case 'matmul': {
      const b = (args.b as { values: Parameters<typeof nameOf>[0] }).values;
      const out = args.out as Parameters<typeof nameOf>[0];
      const name = nameOf(args.layout === 'tn' ? out : b) ?? '';
      return !PER_TOKEN_SHARE.some((end) => name.endsWith(end));
    }
    case 'mlaAttention':
    case 'mlaAttentionBackward':
    case 'rope':
    case 'headCrossEntropy':
      return true;
    default:
      return false;
  }
}

function partWork(
  shape: StageShape,
  args: { part: TracedPart; records: readonly OperationRecord[]; recipe: Recipe },
): PartWork {
  const { part, records, recipe } = args;
  const kernels: KernelWork[] = [];
  let transfer: PartWork['transfer'] = null;
  for (const record of records) {
    const { operation } = record;
    if (operation === 'dispatch' || operation === 'combine') {
      transfer = { kind: operation, ...rowsOnTheWire(shape, operation) };
      continue;
    }
    if (operation === 'headCrossEntropy') {
      kernels.push(...headKernels(record).forward);
      continue;
    }
    kernels.push(...recipe.kernelsOf(record));
  }
  const { pass, part: name, layer } = part;
  const isRouted = name === 'experts' && kernels.every(({ isShared }) => !isShared);
  const tensorTransfers = isRouted ? [] : tensorTransfersOf(shape, part);
  return { pass, part: name, layer, kernels, transfer, tensorTransfers, isRecomputed: false };
}

/**
 * FP8 codes with a scale per 128 to the experts (both ways), BF16 back (report, 3.3.3); BF16 both
 * ways where FP8 has other scales.
 */
function rowsOnTheWire(
  shape: StageShape,
  kind: 'dispatch' | 'combine',
): { tokens: number; bytesPerToken: number } {
  const { hiddenSize } = shape.model;
  const isFp8 = shape.precision === 'fp8' && shape.fp8Scaling === 'tiles';
  const format = kind === 'combine' ? (shape.combineFormat ?? 'bf16') : isFp8 ? 'fp8' : 'bf16';
  const bytesPerToken = wireBytes(format, hiddenSize);
  return { tokens: (shape.microBatchSize * shape.sequenceLength) / shape.tp, bytesPerToken };
}

/** One row, with what goes beside every 128 of its elements: a scale, or LogFMT's two ends. */
function wireBytes(format: CombineFormat, width: number): number {
  const groups = Math.ceil(width / 128);
  switch (format) {
    case 'bf16':
      return 2 * width;
    case 'fp8':
      return width + 4 * groups;
    case 'logfmt8':
      return width + 8 * groups;
    case 'logfmt10':
      return Math.ceil((10 * width) / 8) + 8 * groups;
    default:
      return format satisfies never;
  }
}

/**
 * Rows are made where their experts are, and summed there, when the wire carries tokens. When it
 * carries rows they are made before, sorted by expert there, and both once more on the way back.
 */
function withRowsAtExperts(
  parts: readonly PartWork[],
  { ep, engine }: Pick<StageShape, 'ep' | 'engine'>,
): PartWork[] {
  if (ep === 1) return [...parts];
  const moving = (part: PartWork): KernelWork[] =>
    part.kernels.filter((kernel) => kernel.class === 'permute');
  return parts.map((part, index) => {
    if (part.part === 'experts') {
      const [before, after] = [parts[index - 1], parts[index + 1]];
      const arrive = before === undefined ? [] : moving(before);
      const leave = after === undefined ? [] : moving(after);
      const shared = part.kernels.filter(({ isShared }) => isShared);
      const routed = part.kernels.filter(({ isShared }) => !isShared);
      return { ...part, kernels: [...shared, ...arrive, ...routed, ...leave] };
    }
    const isNeighbour =
      parts[index - 1]?.part === 'experts' || parts[index + 1]?.part === 'experts';
    if (!isNeighbour || engine.expertRows === 'perExpert') return part;
    return { ...part, kernels: part.kernels.filter((kernel) => kernel.class !== 'permute') };
  });
}

/**
 * Gradients are cast for the weight half as soon as they exist: a weight half that is put off then
 * keeps them in FP8 and not in BF16.
 */
function withEarlyCasts(slice: SliceWork): SliceWork {
  const isEarly = ({ what }: KernelWork): boolean => what.includes(GRADIENT);
  const backwardInput = slice.backwardInput.map((part) => {
    const weights = slice.backwardWeight.find(
      (each) => each.part === part.part && each.layer === part.layer,
    );
    return { ...part, kernels: [...part.kernels, ...(weights?.kernels ?? []).filter(isEarly)] };
  });
  const backwardWeight = slice.backwardWeight.map((part) => {
    const hasInput = slice.backwardInput.some(
      (each) => each.part === part.part && each.layer === part.layer,
    );
    return hasInput ? { ...part, kernels: part.kernels.filter((k) => !isEarly(k)) } : part;
  });
  return { ...slice, backwardInput, backwardWeight };
}

/**
 * The head's backward products. The model takes them in forward, one chunk of logits after another;
 * at scale they belong to backward, where logits are kept, and so they are priced. Its weight
 * gradient is put off with the others (DualPipe runs it right behind the pass, so that one set of
 * logits' gradients waits at most).
 */
function withHead(slice: SliceWork, traced: TracedSlice): SliceWork {
  const heads = traced.forward.flatMap(({ layer, records }) =>
    records
      .filter(({ operation }) => operation === 'headCrossEntropy')
      .map((record) => ({ layer, kernels: headKernels(record) })),
  );
  if (heads.length === 0) return slice;
  const input = slice.backwardInput.map((part) => {
    const head = heads.find(({ layer }) => part.part === 'head' && part.layer === layer);
    return head ? { ...part, kernels: [...head.kernels.backwardInput, ...part.kernels] } : part;
  });
  // The weight half stops once for all heads, at its end.
  const last = slice.backwardWeight.length - 1;
  const weight = slice.backwardWeight.map((part, index) =>
    index === last
      ? { ...part, kernels: [...part.kernels, ...heads.flatMap((h) => h.kernels.backwardWeight)] }
      : part,
  );
  return { ...slice, backwardInput: input, backwardWeight: weight };
}
