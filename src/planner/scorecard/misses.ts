/** Why rows are off by more than a quarter, as far as the sources let one see; by name of the run. */
export const misses: Readonly<Record<string, string>> = {
  'deepseek-v2-60b bf16 910bx32': 'not understood yet',
  'deepseek-v3 fp8 b200x256': 'not understood yet',
  'qwen3-235b-a22b fp8 b200x256': 'not understood yet',
  'qwen3-235b-a22b fp8 h100x256': 'not understood yet',
  'qwen3-30b-a3b fp8 gb200x8': 'not understood yet',
};
