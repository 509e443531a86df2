/** What the engines of published runs do, as their documents and settings say. */
import type { EngineTraits } from '../../config/engineTraits.ts';

/**
 * Megatron-Core as NVIDIA runs its benchmarks: gradients and weights travel under passes wherever
 * there is data parallelism (Megatron-Bridge, comm_overlap.py; Megatron-LM, MoE README).
 */
export const megatron: EngineTraits = { optimizerTransfers: 'underPasses' };

/** With tensor-parallel transfers beside products (tp_comm_overlap), and FP8 by whole tensors. */
export const nemo: EngineTraits = {
  ...megatron,
  tensorTransfers: 'pipelined',
  fp8Scaling: 'tensor',
};

/** Blackwell's FP8 in Megatron-Bridge's tables is MXFP8. */
export const nemoMx: EngineTraits = { ...nemo, fp8Scaling: 'mx' };

/** Rows to experts by Megatron's `alltoall` dispatcher. */
export const megatronAllToAll: EngineTraits = { ...megatron, expertRows: 'perExpert' };

/** Megatron-LM of 2022, before FlashAttention. */
export const megatron2022: EngineTraits = { attention: 'unfused' };

/**
 * MindSpeed with fused products and collectives. Its guide gives what such kernels bring
 * (communication-over-computation.md): a step of Llama 2 70B is 7.85 % faster, of which transfers
 * take a quarter: they hide three tenths of them.
 */
export const mindSpeed: EngineTraits = { tensorTransfers: { hiddenShare: 0.3 } };

/** PyTorch FSDP, and HFReduce: gradients are summed while backward runs. */
export const underPasses: EngineTraits = { optimizerTransfers: 'underPasses' };
