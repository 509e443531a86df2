/**
 * Writes down everything a run of ours starts from and is fed, so that another implementation can
 * train the same model on the same tokens: `bench/peers/torch_same_run.py` does.
 *
 *     node bench/exportRun.ts RECIPE DIR [--set a.b=c …]
 *
 * DIR gets `checkpoint/` (the initial weights, Hugging Face layout), `batches.bin` (int32: per
 * micro-batch ids, targets, then each MTP depth's targets), `validation.bin` (the same) and
 * `run.json` (shapes, and each step's learning rate, MTP weight and bias speed).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointFiles, prepareData, prepareRank } from '../src/cli/prepareTraining.ts';
import { resolveTraining } from '../src/cli/resolveTraining.ts';
import { openMachine } from '../src/cli/wiring.ts';
import type { MicroBatch } from '../src/program/microBatch.ts';
import {
  BEGINNING,
  microBatchSizes,
  type StepProgress,
  schedulesOf,
  settingsAt,
} from '../src/training/step.ts';

function flatten(batches: readonly MicroBatch[]): Int32Array {
  const parts = batches.flatMap((batch) => [batch.ids, batch.targets, ...batch.mtpTargets]);
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const [recipe = 'start', directory = 'runs/export', ...rest] = process.argv.slice(2);
const settings = rest.filter((word) => word !== '--set');
const { config } = resolveTraining(recipe, settings);
const machine = openMachine();
const prepared = await prepareData(config, (text) => process.stderr.write(`${text}\n`));
mkdirSync(directory, { recursive: true });
const { executor } = prepareRank(config, machine, directory);
const checkpoint = {
  name: 'checkpoint',
  trainerState: '{}',
  files: checkpointFiles(config, prepared),
};
await executor.run([{ rank: 0, instructions: [{ kind: 'saveShard', checkpoint }] }]);

const schedules = schedulesOf(config);
const steps = [];
const batches: Int32Array[] = [];
let progress: StepProgress = BEGINNING;
while (progress.step < config.steps) {
  const sizes = microBatchSizes(config, schedules, progress);
  const step = sizes.map((size) => prepared.data.next(size));
  batches.push(flatten(step));
  const { mtpWeight, balanceCoefficient, biasSpeed, optimizer } = settingsAt(
    config,
    schedules,
    progress,
  );
  steps.push({ sizes, mtpWeight, balanceCoefficient, biasSpeed, optimizer });
  const tokens = step.reduce((sum, batch) => sum + batch.ids.length, 0);
  progress = {
    step: progress.step + 1,
    updates: progress.updates + 1,
    tokens: progress.tokens + tokens,
  };
}
writeFileSync(join(directory, 'batches.bin'), Buffer.concat(batches.map(bytesOf)));
const { validation } = prepared;
writeFileSync(join(directory, 'validation.bin'), bytesOf(flatten(validation.batches)));
const run = {
  length: config.batch.length,
  mtpDepth: config.model.numNextnPredictLayers,
  steps,
  validation: {
    sizes: validation.batches.map(({ numSequences }) => numSequences),
    numBytes: validation.numBytes,
  },
};
writeFileSync(join(directory, 'run.json'), JSON.stringify(run));
process.stdout.write(`${JSON.stringify({ directory, steps: steps.length })}\n`);
