/**
 * Grouped-query attention on the meta kernels: the block's first half of models that are only
 * planned here. One product for query, key and value, norms of both heads where the model has them,
 * rotation of both, the core, the output.
 * K and V are recorded per query head, as MLA has them: FLOPs are the same, and bytes do not bound.
 * Norms and sums see a tensor-parallel rank's share of the tokens (sequence parallelism).
 */
import type { GqaModelConfig } from '../../config/gqaModelConfig.ts';
import type { F32, Weight } from '../../kernels/kernels.ts';
import type { MetaKernels, OperationRecord } from '../../kernels/meta.ts';
import { reshape, type Tensor } from '../../tensor/tensor.ts';

export interface GqaTrace {
  readonly forward: readonly OperationRecord[];
  readonly backwardInput: readonly OperationRecord[];
  readonly backwardWeight: readonly OperationRecord[];
  readonly nameOf: (tensor: Tensor) => string | undefined;
}

export interface GqaArgs {
  readonly model: GqaModelConfig;
  readonly tp: number;
  readonly numSequences: number;
  readonly sequenceLength: number;
}

export function traceGqa(meta: MetaKernels, args: GqaArgs): GqaTrace {
  const { model, tp, numSequences, sequenceLength } = args;
  const { kernels } = meta;
  const arena = kernels.createArena('gqa');
  const f32 = (...shape: number[]): F32 => arena.allocate('f32', shape);
  const tokens = numSequences * sequenceLength;
  const [D, N] = [model.hiddenSize, model.headDim];
  const H = model.numAttentionHeads / tp;
  // Fewer key heads than ranks: each rank has a copy of one.
  const G = Math.max(1, model.numKeyValueHeads / tp);
  const width = (H + 2 * G) * N;
  const [qkvWeight, oWeight, gain] = [f32(width, D), f32(D, H * N), f32(D)];
  const [qkvGradient, oGradient, dGain] = [f32(width, D), f32(D, H * N), f32(D)];
  const weight = (values: F32): Weight => ({ values });
  const positions_T = arena.allocate('i32', [tokens]);
  const table = f32(sequenceLength, N / 2, 2);
  const sequences = Array.from({ length: numSequences + 1 }, (_, i) => i * sequenceLength);
  const [normed, out] = [f32(tokens, D), f32(tokens, D)];
  const own = tokens / tp;
  const [x, reciprocalRms_T] = [f32(own, D), f32(own)];
  const qkv = f32(tokens, width);
  // The core's kernel wants keys of two parts; a GPU reads K and V where they are.
  const half = N / 2;
  const core = {
    q_THD: f32(tokens, H, N),
    kv_THD: f32(tokens, H, half + N),
    kPe_TP: f32(tokens, half),
    sequences,
    scale: 1,
  };
  const [out_THV, logSumExp_TH] = [f32(tokens, H, N), f32(tokens, H)];
  const taken = (work: () => void): OperationRecord[] => {
    meta.records.length = 0;
    work();
    return meta.records.splice(0);
  };
  const flat = reshape(out_THV, [tokens, H * N]);
  const rotate = (direction: 'forward' | 'inverse'): void => {
    kernels.rope({ x_THP: f32(tokens, H, N), positions_T, table, direction });
    kernels.rope({ x_THP: f32(tokens, G, N), positions_T, table, direction });
  };
  /** Queries and keys by heads, with what a norm of each keeps. */
  const headNorms = (model.qkNorm === true ? [H, G] : []).map((heads) => ({
    x: f32(tokens * heads, N),
    gain: f32(N),
    reciprocalRms_T: f32(tokens * heads),
  }));
  const forward = taken(() => {
    kernels.rmsNorm({ out: f32(own, D), x, gain, eps: 1e-6, reciprocalRms_T });
    kernels.matmul({ out: qkv, a: normed, b: weight(qkvWeight), layout: 'nt' });
    for (const norm of headNorms) {
      kernels.rmsNorm({ out: f32(...norm.x.shape), eps: 1e-6, ...norm });
    }
    rotate('forward');
    kernels.mlaAttention({ out_THV, logSumExp_TH, ...core });
    kernels.matmul({ out, a: flat, b: weight(oWeight), layout: 'nt' });
    const sum = f32(own, D);
    kernels.add({ out: sum, a: sum, b: x });
  });
  const dOut = f32(tokens, D);
  const dQkv = f32(tokens, width);
  const dHeads = f32(tokens, H * N);
  const backwardInput = taken(() => {
    kernels.matmul({ out: dHeads, a: dOut, b: weight(oWeight), layout: 'nn' });
    kernels.mlaAttentionBackward({
      dQ_THD: f32(tokens, H, N),
      dKv_THD: f32(tokens, H, half + N),
      dKPe_TP: f32(tokens, half),
      dOut_THV: reshape(dHeads, [tokens, H, N]),
      ...{ out_THV, logSumExp_TH, ...core },
    });
    rotate('inverse');
    for (const norm of headNorms) {
      const [dX, dOut] = [f32(...norm.x.shape), f32(...norm.x.shape)];
      kernels.rmsNormBackwardInput({ dX, dOut, ...norm });
    }
    const dNormed = f32(tokens, D);
    kernels.matmul({ out: dNormed, a: dQkv, b: weight(qkvWeight), layout: 'nn' });
    const [dX, dOwn] = [f32(own, D), f32(own, D)];
    kernels.copy({ out: dX, x: dOwn });
    const accumulate = true;
    kernels.rmsNormBackwardInput({ dX, dOut: dOwn, x, gain, reciprocalRms_T, accumulate });
  });
  const backwardWeight = taken(() => {
    const add = { layout: 'tn', accumulate: true } as const;
    kernels.matmul({ out: oGradient, a: dOut, b: weight(flat), ...add });
    kernels.matmul({ out: qkvGradient, a: dQkv, b: weight(normed), ...add });
    kernels.rmsNormBackwardWeight({ dGain, dOut: f32(own, D), x, reciprocalRms_T });
    for (const norm of headNorms) {
      const dOut = f32(...norm.x.shape);
      kernels.rmsNormBackwardWeight({ dGain: f32(N), dOut, ...norm });
    }
  });
  const named = [
    { name: 'self_attn.qkv_proj.weight', tensors: [qkvWeight, qkvGradient] },
    { name: 'self_attn.o_proj.weight', tensors: [oWeight, oGradient] },
  ];
  const nameOf = ({ memory, byteOffset }: Tensor): string | undefined =>
    named.find(({ tensors }) =>
      tensors.some((each) => each.memory === memory && each.byteOffset === byteOffset),
    )?.name;
  return { forward, backwardInput, backwardWeight, nameOf };
}
