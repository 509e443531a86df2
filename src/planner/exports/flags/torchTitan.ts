/**
 * The flags of TorchTitan that an export may use: the fields of its configuration classes at the
 * commit named here (early 2026), names only, each under its section as its command line has them.
 */
import type { EngineFlags } from '../engineArguments.ts';

const SECTIONS: Readonly<Record<string, string>> = {
  training: `
    local_batch_size global_batch_size seq_len max_norm steps enable_cpu_offload dtype
    mixed_precision_param mixed_precision_reduce gc_freq gc_debug`,
  parallelism: `
    data_parallel_replicate_degree data_parallel_shard_degree fsdp_reshard_after_forward
    tensor_parallel_degree disable_loss_parallel enable_async_tensor_parallel
    pipeline_parallel_degree module_fqns_per_model_part pipeline_parallel_first_stage_less_layers
    pipeline_parallel_last_stage_less_layers pipeline_parallel_layers_per_stage
    pipeline_parallel_schedule pipeline_parallel_schedule_csv pipeline_parallel_microbatch_size
    pipeline_parallel_expert_parallel_overlap context_parallel_degree
    context_parallel_load_balancer context_parallel_rotate_method expert_parallel_degree
    expert_tensor_parallel_degree expert_parallel_comm_backend`,
  activation_checkpoint: `
    mode selective_ac_option per_op_sac_force_recompute_mm_shapes_by_fqns early_stop memory_budget
    visualize_memory_budget_pareto preserve_rng_state determinism_check debug`,
  compile: 'enable components backend',
};

export const torchTitanFlags: EngineFlags = {
  engine: 'TorchTitan',
  version: 'commit 1a618d1d75dc (torchtitan/config/configs.py)',
  names: new Set(
    Object.entries(SECTIONS).flatMap(([section, fields]) =>
      fields
        .trim()
        .split(/\s+/)
        .map((field) => `--${section}.${field}`),
    ),
  ),
};
