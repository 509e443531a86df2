/**
 * What executors rely on: a model cut into stages is the model, passes of two micro-batches may be
 * interleaved part by part, and a part never waits for a transfer it has started.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxError } from '../../tests/support/golden.ts';
import { tinyIds, tinyV3 } from '../../tests/support/tinyConfig.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { type Collectives, oneRank } from '../kernels/collectives.ts';
import type { F32 } from '../kernels/kernels.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { drain, type PartDone, type Pass } from './block.ts';
import type { StepContext } from './context.ts';
import { type PassSettings, readRecord } from './loss.ts';
import { type MicroBatch, nextTokenBatch, uploadMicroBatch } from './microBatch.ts';
import { createModel, createRoutingCounts, type Model } from './model.ts';
import { EMBEDDING, HEAD, type Stage, wholeModel } from './parameterLayout.ts';
import { checkpointGradients, createParameters, initializeParameters } from './parameters.ts';
import { stageBackward, stageForward } from './transformer.ts';

const kernels = createReferenceKernels({ poison: true });
const config: ModelConfig = { ...tinyV3, numHiddenLayers: 4 };
const settings: PassSettings = {
  isTraining: true,
  numMtpDepths: 2,
  normalizers: { main: 20, mtp: [16, 12] },
  numMicroBatches: 2,
};

function modelOf(stage: Stage): Model {
  const arena = kernels.createArena('weights');
  const withGradients = true;
  const set = createParameters({ kernels, arena, config, stage, withGradients });
  initializeParameters({ kernels, set, config, seed: 1 });
  return createModel({ kernels, arena, config, parameters: set });
}

function contextOf(stage: Stage, collectives: Collectives = oneRank): StepContext {
  const arena = kernels.createArena('activations');
  return {
    kernels,
    arena,
    collectives,
    options: {
      mtpWeight: 0.3,
      balanceCoefficient: 0.1,
      balanceForm: 'paper',
      mtpHidden: 'postNorm',
    },
    counts: createRoutingCounts({ kernels, arena, config, stage }),
  };
}

function batchOf(context: StepContext, seed: number): MicroBatch {
  const ids = tinyIds({ sequences: 2, length: 6, vocabSize: config.vocabSize, seed });
  return uploadMicroBatch({
    kernels,
    arena: context.arena,
    batch: nextTokenBatch(ids, 2),
    vocabSize: config.vocabSize,
    maxPositions: config.maxPositionEmbeddings,
    numMtpDepths: 2,
  });
}

async function gradientsOf(models: readonly Model[]): Promise<Map<string, Float32Array>> {
  const gradients = new Map<string, Float32Array>();
  for (const model of models) {
    for (const { name, view } of checkpointGradients(model.parameters)) {
      const values = (await kernels.read(view)).slice();
      const before = gradients.get(name);
      // A parameter of two stages (the embedding) has the sum of both.
      gradients.set(name, before?.map((value, i) => value + (values[i] ?? Number.NaN)) ?? values);
    }
  }
  return gradients;
}

test('Three stages in a row are the whole model: losses and gradients bit for bit', async () => {
  const whole = modelOf(wholeModel(config));
  const context = contextOf(whole.stage);
  const input = { batch: batchOf(context, 1), hidden: null, settings };
  const forward = drain(stageForward(context, whole, input));
  assert(forward.saved !== null);
  drain(stageBackward(context, whole, { saved: forward.saved, dHidden: null, weights: 'now' }));

  const cut: readonly Stage[] = [
    { first: 0, last: 1, hasEmbedding: true, hasHead: false },
    { first: 1, last: 3, hasEmbedding: false, hasHead: false },
    { first: 3, last: 4, hasEmbedding: false, hasHead: true },
  ];
  const stages = cut.map((stage) => ({ model: modelOf(stage), context: contextOf(stage) }));
  let hidden: F32 | null = null;
  const passes = stages.map(({ model, context: own }) => {
    const batch = batchOf(own, 1);
    const pass = drain(stageForward(own, model, { batch, hidden, settings }));
    hidden = pass.hidden;
    return pass;
  });
  let dHidden: F32 | null = null;
  for (const [index, { model, context: own }] of [...stages.entries()].reverse()) {
    const saved = passes[index]?.saved ?? null;
    assert(saved !== null);
    dHidden = drain(stageBackward(own, model, { saved, dHidden, weights: 'now' })).dHidden;
  }
  assert.equal(dHidden, null, 'nothing flows out of the first stage');
  const records = await Promise.all(passes.map(({ record }) => readRecord(kernels, record)));
  const expected = await readRecord(kernels, forward.record);
  assert.deepEqual(records.at(-1)?.main, expected.main);
  assert.deepEqual(records.at(-1)?.mtp, expected.mtp);
  const balance = records.reduce((sum, record) => sum + record.balance, 0);
  assert.ok(Math.abs(balance - expected.balance) < 1e-12);
  const [apart, together] = [
    await gradientsOf(stages.map(({ model }) => model)),
    await gradientsOf([whole]),
  ];
  assert.deepEqual([...apart.keys()].sort(), [...together.keys()].sort());
  for (const [name, values] of together) {
    if (name !== EMBEDDING) assert.deepEqual(apart.get(name), values, name);
  }
  // First and last stage share the embedding, whose gradient is summed in another order there.
  const [one = [], two = []] = [apart.get(EMBEDDING), together.get(EMBEDDING)];
  assert.ok(maxError(one, two) < 1e-7);
});

test('Two micro-batches interleaved part by part give what they give in a row', async () => {
  const run = async (isInterleaved: boolean): Promise<Map<string, Float32Array>> => {
    const model = modelOf(wholeModel(config));
    const [one, two] = [contextOf(model.stage), contextOf(model.stage)];
    const first = { batch: batchOf(one, 1), hidden: null, settings };
    const second = { batch: batchOf(two, 2), hidden: null, settings };
    const { saved } = drain(stageForward(one, model, first));
    assert(saved !== null);
    // DualPipe's pair: the backward of one micro-batch around the forward of the next.
    const backward = stageBackward(one, model, { saved, dHidden: null, weights: 'now' });
    const forward = stageForward(two, model, second);
    const next = isInterleaved ? alternate(forward, backward) : inTurn(forward, backward);
    assert(next.saved !== null);
    drain(stageBackward(two, model, { saved: next.saved, dHidden: null, weights: 'now' }));
    return gradientsOf([model]);
  };
  const [plain, interleaved] = [await run(false), await run(true)];
  for (const [name, values] of plain) {
    // Both passes add to the shared head, so there only the order of two sums may differ.
    if (name === HEAD || name === EMBEDDING) {
      assert.ok(maxError(interleaved.get(name) ?? [], values) < 1e-7, name);
    } else assert.deepEqual(interleaved.get(name), values, name);
  }
});

test('A pass stops after every part, in the order of the architecture', () => {
  const model = modelOf(wholeModel(config));
  const context = contextOf(model.stage);
  const input = { batch: batchOf(context, 1), hidden: null, settings };
  const steps: PartDone[] = [];
  const pass = stageForward(context, model, input);
  let step = pass.next();
  while (step.done !== true) {
    steps.push(step.value);
    step = pass.next();
  }
  const ofLayer = (layer: number): string[] =>
    steps.filter((each) => each.layer === layer).map((each) => each.part);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    assert.deepEqual(ofLayer(layer), ['attention', 'dispatch', 'experts', 'combine']);
  }
  const saved = step.value.saved;
  assert(saved !== null);
  const backward = stageBackward(context, model, { saved, dHidden: null, weights: 'now' });
  const parts = [...backward].filter(({ layer }) => layer === 2);
  assert.deepEqual(
    parts.map(({ pass: half, part }) => `${half} ${part}`),
    [
      'backwardInput combine',
      'backwardInput experts',
      'backwardWeight experts',
      'backwardInput dispatch',
      'backwardInput attention',
      'backwardWeight attention',
    ],
  );
});

test('A transfer is finished only in a later part than the one that started it', () => {
  const model = modelOf(wholeModel(config));
  let part = 0;
  let numTransfers = 0;
  const transfer = <Arriving>(arriving: Arriving): { finish(): Arriving } => {
    const startedIn = part;
    numTransfers++;
    return {
      finish: () => {
        assert.ok(part > startedIn, `finished within part ${part}`);
        return arriving;
      },
    };
  };
  const watched: Collectives = {
    ...oneRank,
    dispatch: (rows_RD, offsets) => transfer({ rows_RD, offsets }),
    combine: transfer,
  };
  const context = contextOf(model.stage, watched);
  const counted = <Result>(pass: Pass<Result>): Result => {
    let step = pass.next();
    while (step.done !== true) {
      part++;
      step = pass.next();
    }
    return step.value;
  };
  const input = { batch: batchOf(context, 1), hidden: null, settings };
  const { saved } = counted(stageForward(context, model, input));
  assert(saved !== null);
  counted(stageBackward(context, model, { saved, dHidden: null, weights: 'now' }));
  // Three MoE layers and two MTP modules, two transfers each way.
  assert.equal(numTransfers, 5 * 4);
});

/** One part of each in turn; the forward pass's result. */
function alternate<Result>(forward: Pass<Result>, backward: Pass<unknown>): Result {
  let [ahead, behind] = [forward.next(), backward.next()];
  while (ahead.done !== true || behind.done !== true) {
    if (behind.done !== true) behind = backward.next();
    if (ahead.done !== true) ahead = forward.next();
  }
  return ahead.value;
}

function inTurn<Result>(forward: Pass<Result>, backward: Pass<unknown>): Result {
  drain(backward);
  return drain(forward);
}
