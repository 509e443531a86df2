/**
 * What published models are made of, from their configs alone, and what would change if a number
 * did: here, DeepSeek-V3 with half of its routed experts.
 */
import { inspectModel, presets } from 'moebius';

const billions = (count: number): string => `${(count / 1e9).toFixed(2)} B`.padStart(10);

for (const [name, config] of presets) {
  const { parameters, activeParameters, kvBytesPerToken } = await inspectModel(config);
  const cache = `${kvBytesPerToken.toLocaleString('en')} cache bytes per token`;
  console.log(name.padEnd(18), billions(parameters), billions(activeParameters), ' ', cache);
}

const whole = await inspectModel('deepseek-v3', { context: 4096 });
const halved = await inspectModel({ ...whole.config, nRoutedExperts: 128 });
console.log(`\nDeepSeek-V3 with 128 experts per layer instead of 256:`);
console.log(`  parameters ${billions(whole.parameters)} → ${billions(halved.parameters)}`);
console.log(
  `  active     ${billions(whole.activeParameters)} → ${billions(halved.activeParameters)}`,
);
const gigaflops = (flops: number): string => `${(flops / 1e9).toFixed(1)} GFLOP`;
console.log(
  `  to train a token ${gigaflops(whole.flopsPerToken)} → ${gigaflops(halved.flopsPerToken)}`,
);
