/**
 * What a kernel does, told from its name: a table of rules, first match wins.
 *
 * Names come from public sources: PyTorch's and NCCL's own, cuBLAS and CUTLASS, FlashAttention,
 * DeepGEMM, DeepEP, Transformer Engine, Megatron, and those in DeepSeek's published profile. A
 * user's own kernels are put before them with `--rules FILE`. Nothing here knows a duration.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';

/** `wait`: waits for other ranks and moves nothing worth the name. */
export type KernelRole = 'compute' | 'communication' | 'wait';

/** Every class with its role. */
export const kernelClasses = {
  'gemm-fp8-dense': 'compute',
  'gemm-fp8-grouped': 'compute',
  'gemm-fp8-wgrad': 'compute',
  'gemm-bf16': 'compute',
  'attention-forward': 'compute',
  'attention-backward': 'compute',
  'attention-backward-aux': 'compute',
  dispatch: 'communication',
  combine: 'communication',
  'notify-wait': 'wait',
  'dispatch-layout': 'wait',
  'fp8-cast': 'compute',
  'fp8-cast-transpose': 'compute',
  transpose: 'compute',
  norm: 'compute',
  swiglu: 'compute',
  rope: 'compute',
  'token-permute': 'compute',
  gate: 'compute',
  loss: 'compute',
  embedding: 'compute',
  optimizer: 'compute',
  copy: 'compute',
  elementwise: 'compute',
  'all-reduce': 'communication',
  'all-gather': 'communication',
  'reduce-scatter': 'communication',
  'all-to-all': 'communication',
  'send-receive': 'communication',
  broadcast: 'communication',
  /** Of our own traces: a rank that waits for a message, whose way is the sender's span. */
  receive: 'wait',
  memcpy: 'compute',
  memset: 'compute',
  /** Spans of our own traces: whole passes, which hold products, attention and all the rest. */
  forward: 'compute',
  backward: 'compute',
  'backward-input': 'compute',
  'backward-weight': 'compute',
  'forward-backward': 'compute',
  attention: 'compute',
  experts: 'compute',
  other: 'compute',
} as const;

export type KernelClass = keyof typeof kernelClasses;

export const kernelClassNames: readonly KernelClass[] = Object.keys(kernelClasses) as KernelClass[];

export function roleOf(kernelClass: KernelClass): KernelRole {
  return kernelClasses[kernelClass];
}

export interface KernelRule {
  readonly kernelClass: KernelClass;
  readonly pattern: RegExp;
}

/** Order matters: what a name says first about its main work comes first. */
const TABLE: readonly (readonly [KernelClass, RegExp])[] = [
  // Expert parallelism (DeepEP, normal and low-latency kernels).
  ['notify-wait', /::(?:cached_)?notify(?:_dispatch|_combine)?\b|\bbarrier_all\b|nvshmem.*barrier/],
  ['dispatch-layout', /get_dispatch_layout/],
  ['dispatch', /(?:\bep::|deep_ep|intranode|internode(?:_ll)?)\S*::dispatch\b|hybrid_ep.*dispatch/],
  ['combine', /(?:\bep::|deep_ep|intranode|internode(?:_ll)?)\S*::combine\b|hybrid_ep.*combine/],
  // Collectives.
  ['all-reduce', /nccl\w*AllReduce|all_?reduce_(?:one|two)|multimem_all_reduce/i],
  ['all-gather', /nccl\w*AllGather|multimem_all_gather/i],
  ['reduce-scatter', /nccl\w*ReduceScatter|nccl\w*_Reduce_/i],
  ['all-to-all', /nccl\w*(?:AllToAll|A2A)/i],
  ['send-receive', /nccl\w*(?:Send|Recv)/i],
  ['broadcast', /nccl\w*Broadcast/i],
  ['memcpy', /^Memcpy/],
  ['memset', /^Memset/],
  // Attention: its helpers first, for their names hold the main kernel's.
  [
    'attention-backward-aux',
    /FlashAttnBwd(?:Pre|Post)process|flash_bwd_(?:dot|convert)|odo_kernel/,
  ],
  [
    'attention-backward',
    /FlashAttnBwd|flash_bwd|fmha\w*(?:backward|_bwd|B_)|flash_bprop|bprop.*flash/i,
  ],
  ['attention-forward', /FlashAttnFwd|flash_fwd|compute_attn_ws|flash_mla|fmha|fprop.*flash|sdpa/i],
  ['optimizer', /multi_tensor_apply|adam|l2norm_kernel/i],
  // Fused casts belong to what they are fused with.
  ['swiglu', /swiglu|silu(?!Backward_)|geglu|gated_act/i],
  ['norm', /layer_?norm|rms_?norm|\bln_(?:fwd|bwd)/i],
  ['rope', /rotary|\brope|_rope_|apply_rope/i],
  ['token-permute', /permute_kernel|unpermute|moe_align|row_id_map|reduce_fused|expand_to_fused/i],
  ['token-permute', /get_fused_mapping|clean_and_count_expert/],
  ['gate', /gatherTopK|topk|bitonicSort|router|moe_aux_loss/i],
  ['fp8-cast-transpose', /cast_and_transpose|cast_transpose/i],
  [
    'fp8-cast',
    /cast_to_fp8|cast_back|per_token_cast|fp8_quant|quantize_|_quant_kernel|block_scaled/i,
  ],
  ['transpose', /batched_transpose|utils::transpose|transpose_kernel|(?:^|[ :])transpose</i],
  // Fills in descriptors for grouped products; small, and no product.
  ['other', /fill_tensormaps/],
  // Products. Weight gradients of FP8 are their own kernels: they accumulate in FP32 (report, 3.3).
  ['gemm-fp8-wgrad', /fp8_dptp\w*_acc|fp8_wgrad|wgrad.*fp8|k_grouped.*fp8|fp8.*k_grouped/i],
  [
    'gemm-fp8-grouped',
    /m_grouped\w*fp8|fp8\w*m_grouped|fp8.*GemmType\)?[12]|grouped.*e4m3|e4m3.*grouped/i,
  ],
  [
    'gemm-fp8-dense',
    /fp8_ptp|fp8_gemm|deep_gemm.*fp8|e4m3.*gemm|gemm.*e4m3|nvjet_(?:qq|sm\d+_qq)/i,
  ],
  ['gemm-bf16', /gemm|gemv|nvjet|cutlass.*(?:bf16|tensorop|Gemm)|cublas|splitK/i],
  ['loss', /softmax|cross_?entropy|nll_loss/i],
  ['embedding', /embedding|indexSelect|index_select/i],
  ['copy', /_copy_tensor_kernel|CatArrayBatchedCopy|copy_kernel(?!_cuda)/i],
  ['elementwise', /elementwise|reduce_kernel|triton_(?:poi|red|per)|at::native/i],
  ['elementwise', /index_|scatter|gather|cub::/i],
];

export const defaultRules: readonly KernelRule[] = TABLE.map(([kernelClass, pattern]) => ({
  kernelClass,
  pattern,
}));

/** Our own traces name instructions and the parts of a block, not kernels; parts say more. */
const OWN: Readonly<Record<string, KernelClass>> = {
  attention: 'attention',
  experts: 'experts',
  sharedExperts: 'experts',
  denseMlp: 'experts',
  dispatch: 'dispatch',
  combine: 'combine',
  forward: 'forward',
  backward: 'backward',
  backwardInput: 'backward-input',
  backwardWeight: 'backward-weight',
  weight: 'backward-weight',
  forwardBackward: 'forward-backward',
  pair: 'forward-backward',
  send: 'send-receive',
  recv: 'receive',
  message: 'send-receive',
  reduceGradients: 'reduce-scatter',
  optimizerStep: 'optimizer',
  optimizer: 'optimizer',
};

/** A classifier with a memory: a trace has few names and very many kernels. */
export function createClassifier(
  userRules: readonly KernelRule[] = [],
): (span: { readonly name: string; readonly category: string }) => KernelClass {
  const known = new Map<string, Map<string, KernelClass>>();
  const rules = [...userRules, ...defaultRules];
  return ({ name, category }) => {
    const names = known.get(category) ?? new Map<string, KernelClass>();
    const before = names.get(name);
    if (before !== undefined) return before;
    known.set(category, names);
    const rule = rules.find(({ pattern }) => pattern.test(name));
    const found = rule?.kernelClass ?? ownClass(name) ?? ownClass(category) ?? 'other';
    names.set(name, found);
    return found;
  };
}

/** `backwardInput/attention` is attention: what stands first in the table says most. */
function ownClass(text: string): KernelClass | undefined {
  const words = new Set(text.split(/[^A-Za-z]+/));
  return Object.entries(OWN).find(([word]) => words.has(word))?.[1];
}

/**
 * A user's rules: a JSON array of `{ "class": "gemm-bf16", "pattern": "my_kernel" }`, in order.
 *
 * @throws trace.rules naming the rule's index and key
 */
export function parseKernelRules(text: string): readonly KernelRule[] {
  const refuse = (message: string, values: Record<string, unknown>, hint: string): never => {
    throw new MoebiusError('trace.rules', message, { values, hint });
  };
  const shape = 'Write [{ "class": "gemm-bf16", "pattern": "a regular expression" }].';
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    refuse('the rules are no JSON', { reason: (cause as Error).message }, shape);
  }
  if (!Array.isArray(list)) return refuse('the rules are no array', {}, shape);
  return list.map((entry: unknown, index) => {
    const rule = (typeof entry === 'object' && entry !== null ? entry : {}) as Json;
    const unknown = Object.keys(rule).find((key) => key !== 'class' && key !== 'pattern');
    if (unknown !== undefined) refuse(`rule ${index} has a key "${unknown}"`, {}, shape);
    const { class: name, pattern } = rule;
    if (typeof name !== 'string') return refuse(`rule ${index} has no "class"`, {}, shape);
    const kernelClass = kernelClassNames.find((each) => each === name);
    if (kernelClass === undefined) {
      const near = nearestName(name, kernelClassNames);
      const hint = near === undefined ? `Use one of: ${kernelClassNames.join(', ')}.` : '';
      return refuse(`rule ${index} has no known "class"`, { class: name }, hint || `Take ${near}.`);
    }
    if (typeof pattern !== 'string') return refuse(`rule ${index} has no "pattern"`, {}, shape);
    try {
      return { kernelClass, pattern: new RegExp(pattern) };
    } catch (cause) {
      const values = { pattern, reason: (cause as Error).message };
      return refuse(`rule ${index} has no regular "pattern"`, values, 'Correct the expression.');
    }
  });
}

type Json = Record<string, unknown>;
