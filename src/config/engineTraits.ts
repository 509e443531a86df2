/**
 * What an engine does that no layout says. Left out is as DeepSeek trained V3; published runs of
 * other engines say what theirs did. Every trait is a switch that such an engine documents.
 */

/**
 * What shares a scale in FP8: `tiles`, 128 values of a row and 128 × 128 of a weight (DeepSeek-V3);
 * `tensor`, all of it (NVIDIA's delayed or current scaling); `mx`, 32 values, which Blackwell's
 * tensor cores apply by themselves (MXFP8).
 */
export type Fp8Scaling = 'tiles' | 'tensor' | 'mx';

/**
 * How rows come to their experts: `once`, a token once to each node, or rank, that has one of its
 * experts (DeepEP, HybridEP); `perExpert`, a row in BF16 for every chosen expert by all-to-all,
 * sorted before and after (Megatron's `alltoall` dispatcher); `gathered`, every token to every rank
 * of the group, and sums scattered back (`allgather`).
 */
export type ExpertRows = 'once' | 'perExpert' | 'gathered';

export interface EngineTraits {
  /** `tiles` for DeepSeek's models and `tensor` for others, unless given. */
  readonly fp8Scaling?: Fp8Scaling;
  /** `once` unless given. */
  readonly expertRows?: ExpertRows;
  /**
   * `pipelined`: a forward and a backward pass of two micro-batches run together, so that one
   * computes while the other's rows travel (Megatron's overlap_moe_expert_parallel_comm); in
   * schedules without pairs. `alone` unless given.
   */
  readonly expertTransfers?: 'alone' | 'pipelined';
  /**
   * `pipelined`: a sharded product runs in as many pieces as there are ranks, and the transfer of
   * one runs beside the product of another (Transformer Engine's tp_comm_overlap). A share where a
   * maker says how much it hides. `alone` unless given.
   */
  readonly tensorTransfers?: 'alone' | 'pipelined' | { readonly hiddenShare: number };
  /**
   * `underPasses`: gradients are summed, and weights gathered, layer by layer under the last
   * backward and the first forward pass (Megatron's overlap_grad_reduce and overlap_param_gather,
   * FSDP). `afterPasses` unless given.
   */
  readonly optimizerTransfers?: 'afterPasses' | 'underPasses';
  /** `unfused`: scores of all pairs go through memory, as before FlashAttention. */
  readonly attention?: 'flash' | 'unfused';
}
