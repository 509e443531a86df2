/**
 * The flags of Megatron-LM that an export may use: names only, as its own arguments.py declares
 * them at the commit named here (late 2025, Megatron-Core 0.15 in development). Groups follow that
 * file; what concerns inference, retrieval, vision or reinforcement learning is not listed.
 */
import type { EngineFlags } from '../engineArguments.ts';

const NETWORK_SIZE = `
  num-layers encoder-num-layers decoder-num-layers hidden-size ffn-hidden-size num-attention-heads
  attention-backend kv-channels group-query-attention num-query-groups softmax-type window-size
  window-attn-skip-freq max-position-embeddings position-embedding-type
  relative-attention-num-buckets relative-attention-max-distance use-rotary-position-embeddings
  rotary-base rotary-percent rotary-interleaved rotary-seq-len-interpolation-factor
  use-rope-scaling rope-scaling-factor no-rope-freq no-position-embedding mrope-section
  make-vocab-size-divisible-by normalization norm-epsilon apply-layernorm-1p
  apply-residual-connection-post-layernorm openai-gelu squared-relu swiglu quick-geglu
  activation-func-clamp-value glu-linear-offset onnx-safe bert-no-binary-head
  untie-embeddings-and-output-weights multi-latent-attention mtp-num-layers
  mtp-loss-scaling-factor`;

const TRAINING = `
  micro-batch-size batch-size global-batch-size rampup-batch-size decrease-batch-size-if-needed
  recompute-activations recompute-granularity no-check-for-nan-in-loss-and-grad
  check-for-spiky-loss check-for-large-grads distribute-saved-activations recompute-method
  recompute-num-layers recompute-modules cpu-offloading-num-layers
  no-clone-scatter-output-in-embedding profile profile-step-start profile-step-end
  iterations-to-skip disable-gloo-process-groups use-pytorch-profiler profile-ranks
  record-memory-history memory-snapshot-path tp-comm-overlap tp-comm-overlap-cfg
  disable-tp-comm-overlap-ag disable-tp-comm-overlap-rs tp-comm-overlap-rs-dgrad
  disable-tp-comm-bulk-dgrad disable-tp-comm-bulk-wgrad tp-comm-bootstrap-backend
  use-cpu-initialization empty-unused-memory-level deterministic-mode calculate-per-token-loss
  train-sync-interval train-iters train-samples log-interval exit-interval exit-duration-in-mins
  exit-signal-handler tensorboard-dir no-masked-softmax-fusion no-bias-gelu-fusion
  no-bias-swiglu-fusion use-fused-weighted-squared-relu no-bias-dropout-fusion no-rope-fusion
  rope-type cross-entropy-loss-fusion cross-entropy-fusion-impl use-flash-attn disable-bias-linear
  qk-layernorm attention-dropout hidden-dropout
  add-qkv-bias optimizer optimizer-cpu-offload optimizer-offload-fraction
  use-torch-optimizer-for-cpu-offload overlap-cpu-optimizer-d2h-h2d no-pin-cpu-grads
  no-pin-cpu-params dataloader-type no-persist-layer-norm sequence-parallel
  no-gradient-accumulation-fusion use-mcore-models use-legacy-models manual-gc manual-gc-interval
  no-manual-gc-eval pipeline-model-parallel-comm-backend high-priority-stream-groups
  use-te-activation-func`;

const MIXED_PRECISION = `
  fp16 bf16 grad-reduce-in-bf16 loss-scale initial-loss-scale min-loss-scale loss-scale-window
  hysteresis fp32-residual-connection apply-query-key-layer-scaling attention-softmax-in-fp32
  accumulate-allreduce-grads-in-fp32 fp16-lm-cross-entropy disable-bf16-reduced-precision-matmul
  reuse-grad-buf-for-mxfp8-param-ag fp8-format fp8-recipe fp8-quantizer-factory fp8-margin
  fp8-interval fp8-amax-history-len fp8-amax-compute-algo no-fp8-wgrad transformer-impl
  fp8-param-gather first-last-layers-bf16 num-layers-at-start-in-bf16 num-layers-at-end-in-bf16
  fp4-format fp4-recipe fp4-quantizer-factory fp4-param-gather te-rng-tracker
  use-precision-aware-optimizer main-grads-dtype main-params-dtype exp-avg-dtype exp-avg-sq-dtype`;

const DISTRIBUTED = `
  tensor-model-parallel-size pipeline-model-parallel-size decoder-first-pipeline-num-layers
  decoder-last-pipeline-num-layers pipeline-model-parallel-layout
  num-layers-per-virtual-pipeline-stage num-virtual-stages-per-pipeline-rank
  microbatch-group-size-per-virtual-pipeline-stage no-overlap-p2p-communication
  overlap-p2p-communication-warmup-flush distributed-backend distributed-timeout-minutes
  distributed-timeout-seconds-after-init overlap-grad-reduce defer-embedding-wgrad-compute
  wgrad-deferral-limit no-align-grad-reduce ddp-num-buckets ddp-bucket-size
  ddp-pad-buckets-for-high-nccl-busbw ddp-reduce-scatter-with-fp32-accumulation
  ddp-average-in-collective overlap-param-gather overlap-param-gather-with-optimizer-step
  no-align-param-gather no-scatter-gather-tensors-in-pipeline use-ring-exchange-p2p local-rank
  lazy-mpu-init account-for-embedding-in-pipeline-split account-for-loss-in-pipeline-split
  use-distributed-optimizer use-nccl-ub disable-symmetric-registration use-sharp
  sharp-enabled-group use-megatron-fsdp init-model-with-meta-device
  data-parallel-sharding-strategy no-gradient-reduce-div-fusion fsdp-double-buffer
  suggested-communication-unit-size keep-fp8-transpose-cache enable-full-sharding-in-hsdp
  num-distributed-optimizer-instances use-torch-fsdp2 torch-fsdp2-no-reshard-after-forward
  context-parallel-size cp-comm-type hierarchical-context-parallel-sizes
  nccl-communicator-config-path use-tp-pp-dp-mapping replication replication-jump
  replication-factor ckpt-format`;

const EXPERTS_AND_LATENTS = `
  expert-model-parallel-size expert-tensor-parallel-size num-experts moe-layer-freq
  moe-ffn-hidden-size moe-shared-expert-intermediate-size moe-shared-expert-overlap
  moe-grouped-gemm moe-use-legacy-grouped-gemm moe-layer-recompute moe-extended-tp
  moe-use-upcycling moe-router-load-balancing-type moe-router-dtype moe-router-fusion
  moe-router-score-function moe-router-topk moe-router-pre-softmax moe-router-num-groups
  moe-router-group-topk moe-router-topk-scaling-factor moe-router-enable-expert-bias
  moe-router-bias-update-rate moe-router-force-load-balancing moe-router-padding-for-fp8
  moe-aux-loss-coeff moe-z-loss-coeff moe-input-jitter-eps moe-per-layer-logging
  moe-token-dispatcher-type moe-enable-deepep moe-deepep-num-sms moe-permute-fusion
  moe-expert-capacity-factor moe-pad-expert-input-to-capacity moe-token-drop-policy
  moe-apply-probs-on-input overlap-moe-expert-parallel-comm delay-wgrad-compute
  moe-upcycling-granularity moe-pad-experts-for-cuda-graph-inference q-lora-rank kv-lora-rank
  qk-head-dim qk-pos-emb-head-dim v-head-dim rotary-scaling-factor mscale mscale-all-dim
  cache-mla-latents`;

const DATA = `
  seq-length vocab-size padded-vocab-size vocab-file merge-file vocab-extra-ids tokenizer-type
  tokenizer-model tokenizer-metadata tiktoken-pattern tiktoken-num-special-tokens
  tiktoken-special-tokens legacy-tokenizer trust-remote-code data-path split train-data-path
  valid-data-path test-data-path data-args-path per-split-data-args-path mock-data eval-iters
  eval-interval full-validation multiple-validation-sets seed init-method-std lr lr-decay-style
  lr-warmup-samples min-lr enable-experimental spec`;

export const megatronFlags: EngineFlags = {
  engine: 'Megatron-LM',
  version: 'commit 000c4ac24f61 (megatron/training/arguments.py)',
  names: new Set(
    [NETWORK_SIZE, TRAINING, MIXED_PRECISION, DISTRIBUTED, EXPERTS_AND_LATENTS, DATA]
      .flatMap((group) => group.trim().split(/\s+/))
      .map((name) => `--${name}`),
  ),
};
