/** Kernels by name: one example of each public library for each rule, and users' own rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../../base/errors.ts';
import { createClassifier, type KernelClass, parseKernelRules } from './kernelClasses.ts';

const EXAMPLES: Readonly<Partial<Record<KernelClass, readonly string[]>>> = {
  'gemm-fp8-dense': [
    'void deep_gemm::fp8_gemm_kernel<4096u, 7168u, 128u, 128u, 1u>(float*)',
    'void deep_gemm::sm90_fp8_gemm_1d2d_impl<(cute::UMMA::Major)0, 0u, 7168u>(float*)',
    'nvjet_qqtst_128x256_128x4_1x2_h_bz_coopA_TNT',
  ],
  'gemm-fp8-grouped': [
    'void deep_gemm::m_grouped_fp8_gemm_contiguous_kernel<4096u>(float*)',
    'void cutlass::device_kernel<x::m_grouped_fp8_ptp128c::GemmKernel>(Params)',
  ],
  'gemm-fp8-wgrad': [
    'void deep_gemm::fp8_wgrad_gemm_kernel<4096u>(float*)',
    'void cutlass::device_kernel<x::cuda::fp8_dptp128c_acc::GemmKernel>(Params)',
  ],
  'gemm-bf16': [
    'nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_TNT',
    'sm90_xmma_gemm_bf16bf16_bf16f32_f32_nn_n_tilesize128x128x64_warpgroupsize1x1x1',
    'ampere_bf16_s16816gemm_bf16_128x256_ldg8_f2f_stages_64x3_tn',
    'void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_nn_align8>',
    'void gemvx::kernel<int, int, __nv_bfloat16>(float)',
    'void cublasLt::splitKreduce_kernel<32, 16, int>(float)',
  ],
  'attention-forward': [
    'void flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4>>(Flash_fwd_params)',
    'void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<X>>>(Params)',
    'fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention)',
    'cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_bf16_knob_6',
  ],
  'attention-backward': [
    'void flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<X>(Flash_bwd_params)',
    'cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_bf16_knob_7',
    'fmha_cutlassB_bf16_aligned_64x64_k64_sm80(PyTorchMemEffAttention)',
  ],
  'attention-backward-aux': [
    'void flash_bwd_dot_do_o_kernel<true, X>(Flash_bwd_params)',
    'void flash_bwd_convert_dq_kernel<X>(Flash_bwd_params, int)',
  ],
  dispatch: [
    'void deep_ep::internode::dispatch<false, 8, false, 8>(int4*)',
    'void deep_ep::intranode::dispatch<8, 768>(int4*)',
    'void deep_ep::internode_ll::dispatch<true, false, 7168>(void*)',
  ],
  combine: [
    'void deep_ep::internode_ll::combine<7168, 9>(void*)',
    'void deep_ep::intranode::combine<__nv_bfloat16, 8, 768>(__nv_bfloat16*)',
  ],
  'notify-wait': [
    'void deep_ep::internode::notify_dispatch<false, 8>(int const*)',
    'void deep_ep::intranode::cached_notify_combine<8>(void**)',
  ],
  'dispatch-layout': ['void deep_ep::layout::get_dispatch_layout<256, 32, 8>(long const*)'],
  'all-reduce': [
    'ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)',
    'ncclKernel_AllReduce_RING_LL_Sum_half(ncclDevComm*)',
    'void vllm::cross_device_reduce_all_reduce_one_shot(int)',
  ],
  'all-gather': ['ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)'],
  'reduce-scatter': ['ncclDevKernel_ReduceScatter_Sum_f32_RING_LL(ncclDevKernelArgsStorage)'],
  broadcast: ['ncclDevKernel_Broadcast_RING_LL(ncclDevKernelArgsStorage<4096ul>)'],
  'fp8-cast': ['void per_token_cast_to_fp8_kernel<128>(float*)', 'per_token_group_quant_kernel'],
  'fp8-cast-transpose': [
    'void transformer_engine::detail::cast_transpose_fused_kernel<false>(X)',
    'void cuda::per_channel_cast_and_transpose<256, 128, true>(void const*)',
  ],
  transpose: ['void cuda::batched_transpose<512, 128, 1, 1>(unsigned char const*)'],
  norm: [
    'void transformer_engine::normalization::rmsnorm_fwd_tuned_kernel<X>(Params)',
    'void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float>(int)',
    'void layer_norm::ln_bwd_kernel<X>(layer_norm::BwdParams)',
  ],
  swiglu: [
    'void cuda::swiglu_forward_with_weight_and_per_token_cast_to_fp8<1>(int)',
    'void cuda::swiglu_and_per_channel_cast_and_transpose<256>(int)',
    'triton_poi_fused_mul_silu_0',
  ],
  rope: ['rotary_kernel', 'fused_rope_forward', 'void apply_rope_kernel<1>(int)'],
  'token-permute': [
    '_permute_kernel',
    '_unpermute_kernel',
    'void moe_align_block_size_kernel<1>()',
  ],
  gate: ['void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(X)'],
  loss: ['void (anonymous namespace)::softmax_warp_forward<float>(int)', 'cross_entropy_kernel'],
  embedding: ['void at::native::(anonymous namespace)::indexSelectLargeIndex<float>(int)'],
  optimizer: ['void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float>>(int)'],
  copy: ['void at::native::(anonymous namespace)::CatArrayBatchedCopy<int>(int)'],
  elementwise: [
    'void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>(int)',
    'void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(int)',
    'triton_poi_fused_add_1',
  ],
  memcpy: ['Memcpy HtoD (Pinned -> Device)'],
  memset: ['Memset (Device)'],
  forward: ['forward', 'forward 12'],
  'backward-input': ['backwardInput'],
  'forward-backward': ['forwardBackward 3/4'],
  attention: ['forward/attention', 'backward/attention'],
  experts: ['forward/experts', 'backwardWeight sharedExperts'],
  'send-receive': ['ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)', 'send activation'],
  receive: ['recv gradient'],
  other: ['frobnicate'],
};

test('kernelClasses: kernels of public libraries and our own spans are told by name', () => {
  const classify = createClassifier();
  const wrong = Object.entries(EXAMPLES).flatMap(([expected, names]) =>
    names
      .map((name) => [name, classify({ name, category: '' }), expected])
      .filter(([, found]) => found !== expected),
  );
  assert.deepEqual(wrong, []);
});

test('kernelClasses: a name that says nothing is told by its category', () => {
  const classify = createClassifier();
  assert.equal(classify({ name: '0F3', category: 'forward' }), 'forward');
  assert.equal(classify({ name: '1B2', category: 'backwardInput' }), 'backward-input');
  assert.equal(classify({ name: '0F3 & 1B2', category: 'pair' }), 'forward-backward');
  assert.equal(classify({ name: '0W1', category: 'weight' }), 'backward-weight');
  assert.equal(classify({ name: '0F3', category: 'kernel' }), 'other');
});

test('kernelClasses: a user’s rules go before the built-in ones, in their order', () => {
  const rules = parseKernelRules(
    '[{"class": "rope", "pattern": "^my_"}, {"class": "norm", "pattern": "my_gemm|gatherTopK"}]',
  );
  const classify = createClassifier(rules);
  const of = (name: string): KernelClass => classify({ name, category: 'kernel' });
  assert.deepEqual([of('my_gemm'), of('gatherTopK'), of('_gemm')], ['rope', 'norm', 'gemm-bf16']);
});

test('kernelClasses: wrong rules are refused by index and key', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['{', /no JSON/],
    ['{}', /no array/],
    ['[3]', /rule 0 has no "class"/],
    [
      '[{"class": "norm", "pattern": "a"}, {"class": "norms", "pattern": "a"}]',
      /rule 1.*Take norm/,
    ],
    ['[{"class": "zzzzzzzz", "pattern": "a"}]', /Use one of: gemm-fp8-dense/],
    ['[{"class": "norm"}]', /rule 0 has no "pattern"/],
    ['[{"class": "norm", "pattern": "("}]', /rule 0 has no regular "pattern"/],
    ['[{"class": "norm", "pattern": "a", "stream": 4}]', /rule 0 has a key "stream"/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => parseKernelRules(text),
      (error) =>
        error instanceof MoebiusError &&
        error.code === 'trace.rules' &&
        expected.test(`${error.message} ${error.hint}`),
      text,
    );
  }
});
