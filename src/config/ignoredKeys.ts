/**
 * Keys of published `config.json` files that are known and ignored, with the reason why that is
 * safe. A key that could change what the model computes has no place here.
 */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'where the file comes from and which code reads it': [
    '_name_or_path',
    '_commit_hash',
    'architectures',
    'auto_map',
    'transformers_version',
    'tokenizer_class',
    '_attn_implementation',
    '_attn_implementation_autoset',
    'attn_implementation',
    'name_or_path',
  ],
  'how other software runs the model': [
    'ep_size',
    'num_shared_experts_replicas',
    'pretraining_tp',
    'use_cache',
    'use_mla',
    'torchscript',
    'use_bfloat16',
    'tf_legacy_loss',
    'chunk_size_feed_forward',
    'gradient_checkpointing',
    'base_model_tp_plan',
    'base_model_pp_plan',
    'base_model_ep_plan',
    'output_router_logits',
    'keys_to_ignore_at_inference',
  ],
  // The released value, 0.001, contradicts the report's 1e-4 and some releases omit it: the
  // coefficient of the balance loss is a training option, with V3's default in code.
  'training options that other files give': [
    'aux_loss_alpha',
    'seq_aux',
    'router_aux_loss_coef',
    'bias_update_speed',
  ],
  // Transformers writes head_dim = qk_rope_head_dim; older tools wrote hidden_size / heads.
  'follows from other keys, written in several ways': ['head_dim'],
  'special tokens and generation settings, which are the tokenizer’s business': [
    'pad_token_id',
    'sep_token_id',
    'unk_token_id',
    'decoder_start_token_id',
    'forced_bos_token_id',
    'forced_eos_token_id',
    'prefix',
    'max_length',
    'min_length',
    'do_sample',
    'early_stopping',
    'num_beams',
    'num_beam_groups',
    'diversity_penalty',
    'temperature',
    'top_k',
    'top_p',
    'typical_p',
    'repetition_penalty',
    'length_penalty',
    'no_repeat_ngram_size',
    'encoder_no_repeat_ngram_size',
    'bad_words_ids',
    'num_return_sequences',
    'exponential_decay_length_penalty',
    'suppress_tokens',
    'begin_suppress_tokens',
    'remove_invalid_values',
  ],
  'outputs and heads that a language model here does not have': [
    'return_dict',
    'return_dict_in_generate',
    'output_scores',
    'output_attentions',
    'output_hidden_states',
    'pruned_heads',
    'cross_attention_hidden_size',
    'is_decoder',
    'tie_encoder_decoder',
    'finetuning_task',
    'problem_type',
    'id2label',
    'label2id',
    'task_specific_params',
  ],
};

const IGNORED: ReadonlySet<string> = new Set(Object.values(GROUPS).flat());

export function isIgnoredKey(key: string): boolean {
  return IGNORED.has(key);
}
