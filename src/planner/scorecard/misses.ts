/** Why rows are off by more than a quarter, as far as sources let one see; by name of the run. */
export const misses: Readonly<Record<string, string>> = {
  'qwen3-235b-a22b fp8 h100x256':
    'Megatron’s alltoall dispatcher waits for the host in every layer (it asks how many rows ' +
    'come), and half of a small layer is bound by the host that starts kernels. Host time is not ' +
    'modelled: Transformer Engine’s issue 2053 gives 13 µs for a plain product on such a host ' +
    'and, on Grace, three times as much for its own as for a plain one',
  'qwen3-235b-a22b fp8 b200x256':
    'no CUDA graphs, the alltoall dispatcher, micro-batches of one sequence: bound by the host. ' +
    'The same table has the faster B300 at 399 TFLOP/s beside these 563, so no property of the ' +
    'chip decides. Host time is not modelled',
  'qwen3-30b-a3b fp8 gb200x8':
    'hidden states of 2,048: experts’ kernels take tens of microseconds and run outside of the ' +
    'graphs, on Grace hosts that need 100 µs for one product of Transformer Engine (issue 2053). ' +
    'Host time is not modelled',
  'deepseek-v2-60b bf16 910bx32':
    'the run reaches 13 % of the chip’s peak. What latent attention, routing and 65,536 gathered ' +
    'rows cost an Ascend 910B nobody published; Hopper’s curves stand in for them',
};
