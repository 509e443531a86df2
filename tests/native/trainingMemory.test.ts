/** After its first step training takes no memory: none from the kernels, no new pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../../src/base/median.ts';
import { prepareRank } from '../../src/cli/prepareTraining.ts';
import { zipfBatch } from '../../src/cli/zipfBatch.ts';
import { findPreset } from '../../src/config/presets/presets.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../../src/config/trainConfig.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { stepPrograms } from '../../src/training/step.ts';

const loaded = loadAddon();

test('training: a step after the first allocates nothing and touches no new pages', {
  skip: 'reason' in loaded && loaded.reason,
}, async () => {
  assert(!('reason' in loaded));
  let allocations = 0;
  const addon = {
    ...loaded.addon,
    allocate: (bytes: number): ArrayBuffer => {
      allocations++;
      return loaded.addon.allocate(bytes);
    },
  };
  const model = { ...findPreset('v3-mini'), numHiddenLayers: 2, vocabSize: 512 };
  const [sequences, length] = [2, 128];
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'memory',
    steps: 6,
    model,
    batch: { ...TRAIN_DEFAULTS.batch, sequences, microBatch: sequences, length },
  };
  const kernels = createNativeKernels(addon, { threads: 2 });
  const machine = { kernels, description: '', threads: 2, addon, mapFile: addon.mapFile };
  const { executor } = prepareRank(config, machine, '');
  const programs = stepPrograms(config, [zipfBatch(model, { numSequences: sequences, length })]);
  const faultsOf = async (): Promise<number> => {
    const before = process.resourceUsage().minorPageFault;
    await executor.run(programs.compute);
    await executor.run(programs.apply);
    return process.resourceUsage().minorPageFault - before;
  };
  await faultsOf();
  await faultsOf();
  const taken = allocations;
  const faults = [];
  for (let step = 0; step < 5; step++) faults.push(await faultsOf());
  assert.equal(allocations, taken);
  // JavaScript's own heap moves by some pages; the step's tensors would be thousands.
  assert(executor.peakActivationBytes > 2000 * 4096);
  assert(median(faults) < 200, `${faults} page faults in steps`);
});
