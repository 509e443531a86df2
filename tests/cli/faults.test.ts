/**
 * Injected faults: a NaN in a weight, a NaN in a gradient, an overflow in an activation, a loss
 * that jumps. A run that stops says layer, tensor and step and leaves a good checkpoint; a run
 * that skips or rolls back ends with finite weights.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { openSafetensors, readTensorBytes } from '../../src/checkpoint/safetensors.ts';
import { openFile } from '../../src/runtime/files.ts';
import { assertRefused, type Json, jsonOf, moebius, moebiusJson } from '../support/commandLine.ts';
import {
  gradientNamed,
  planOf,
  poke,
  runSabotaged,
  type Sabotage,
  type SabotagedRun,
  weightOf,
} from '../support/sabotage.ts';
import { editSafetensors, pokeFloat } from '../support/safetensorsEdit.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { NUM_STEPS, tinyRun, tinySettings, writeText } from '../support/tinyRun.ts';

const WEIGHT = 'model.layers.1.self_attn.o_proj.weight';
const HEAD = 'lm_head.weight';
/** Computes the gradients of step 4; the last checkpoint before it is of step 2. */
const PASS = 4;

let text: string;

before((context) => {
  text = writeText(temporaryFolder(context as TestContext));
});

const nanInWeight: Sabotage = {
  pass: PASS,
  before: 'forward',
  act: (state, kernels) => poke(kernels, weightOf(state, WEIGHT), Number.NaN),
};

const nanInGradient: Sabotage = {
  pass: PASS,
  before: 'reduceGradients',
  act: (state, kernels) => poke(kernels, gradientNamed(state, WEIGHT), Number.NaN),
};

/** Finite weights whose products are not: SwiGLU's two factors lie in one matrix. */
const overflow: Sabotage = {
  pass: PASS,
  before: 'forward',
  act: (state, kernels) => {
    for (const part of ['gate_up', 'down']) {
      const x = weightOf(state, `model.layers.1.mlp.shared_experts.${part}_proj.weight`);
      kernels.scale({ x, factor: 1e17 });
    }
  },
};

/** A head 256 times too loud for one pass; powers of two, so that the undoing is exact. */
const spike: Sabotage = {
  pass: PASS,
  before: 'forward',
  act: (state, kernels) => {
    const head = weightOf(state, HEAD);
    kernels.scale({ x: head, factor: 256 });
  },
  undo: (state, kernels) => {
    const head = weightOf(state, HEAD);
    kernels.scale({ x: head, factor: 1 / 256 });
  },
};

async function run(
  context: TestContext,
  sabotage: Sabotage | null,
  ...settings: readonly string[]
): Promise<SabotagedRun & { again: () => Promise<SabotagedRun> }> {
  const all = tinySettings(text, ['guard.window=4', ...settings]).filter(
    (word) => word !== '--set',
  );
  const plan = await planOf(all, temporaryFolder(context));
  const first = await runSabotaged({ ...plan, ...(sabotage === null ? {} : { sabotage }) });
  const resumeFrom = first.summary.checkpoint?.directory ?? '';
  const again = async (): Promise<SabotagedRun> => {
    const { prepared } = await planOf(all, plan.directory);
    return runSabotaged({ ...plan, prepared, resumeFrom });
  };
  return { ...first, again };
}

/** Every number of every checkpoint of a run. */
async function assertFinite({ checkpoints }: SabotagedRun): Promise<void> {
  const names = readdirSync(checkpoints).filter((name) => name.startsWith('step-'));
  assert.ok(names.length > 0, 'there are checkpoints');
  for (const name of names) {
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      const { tensors, source } = await openSafetensors(
        await openFile(join(checkpoints, name, file)),
      );
      for (const [tensor, stored] of tensors) {
        const { buffer } = (await readTensorBytes(source, stored)).slice();
        assert.ok(new Float32Array(buffer).every(Number.isFinite), `${name}: ${tensor}`);
      }
    }
  }
}

function interventionsOf({ events }: SabotagedRun): string[] {
  return events.flatMap((event) => (event.kind === 'intervention' ? [event.action] : []));
}

test('NaN in a weight: stop names weight, layer and step, and keeps the good checkpoint', async (context) => {
  const broken = await run(context, nanInWeight, 'guard.onFault=stop');
  const { end, incident, step, checkpoint } = broken.summary;
  assert.equal(end, 'fault');
  const { what, where, layer, tensor } = incident ?? {};
  assert.deepEqual(
    { what, where, layer, tensor },
    {
      what: 'nan',
      where: 'parameter',
      layer: 1,
      tensor: WEIGHT,
    },
  );
  assert.equal(incident?.step, PASS);
  assert.equal(step, PASS - 1, 'the step was not applied');
  assert.match(checkpoint?.name ?? '', /^step-0000002$/);
  await assertFinite(broken);
});

test('NaN in a weight: rollback mends it, skipping cannot and stops', async (context) => {
  const mended = await run(context, nanInWeight, 'guard.onFault=rollback');
  const { end, numRollbacks, step } = mended.summary;
  assert.deepEqual(
    { end, numRollbacks, step },
    { end: 'finished', numRollbacks: 1, step: NUM_STEPS },
  );
  assert.deepEqual(interventionsOf(mended), ['rollback']);
  await assertFinite(mended);

  const skipping = await run(context, nanInWeight, 'guard.onFault=skip');
  assert.equal(skipping.summary.end, 'fault');
  assert.equal(skipping.summary.incident?.tensor, WEIGHT);
  await assertFinite(skipping);
});

test('NaN in a gradient: stop names it, and the resumed run is as if nothing had been', async (context) => {
  const broken = await run(context, nanInGradient, 'guard.onFault=stop');
  const { end, incident, checkpoint } = broken.summary;
  assert.equal(end, 'fault');
  const { what, where, layer, tensor } = incident ?? {};
  assert.deepEqual(
    { what, where, layer, tensor },
    {
      what: 'nan',
      where: 'gradient',
      layer: 1,
      tensor: WEIGHT,
    },
  );
  assert.equal(incident?.step, PASS);
  assert.match(incident?.message ?? '', new RegExp(`step ${PASS}: nan .*${WEIGHT} of layer 1`));
  assert.equal(
    checkpoint?.name,
    'step-0000003',
    'the weights had not moved: they are the last good',
  );
  await assertFinite(broken);

  const resumed = await broken.again();
  assert.equal(resumed.summary.end, 'finished');
  const whole = await run(context, null, 'guard.onFault=stop');
  assertSameWeights(resumed, whole);
});

test('NaN in a gradient: a skipped step is left out, a rolled back one is done again', async (context) => {
  const skipped = await run(context, nanInGradient, 'guard.onFault=skip');
  assert.deepEqual(interventionsOf(skipped), ['skip']);
  assert.equal(skipped.summary.end, 'finished');
  assert.equal(skipped.summary.numSkipped, 1);
  const steps = skipped.events.flatMap((event) => (event.kind === 'step' ? [event.step] : []));
  assert.deepEqual(steps, [1, 2, 3, 5, 6]);
  await assertFinite(skipped);

  const rolledBack = await run(context, nanInGradient, 'guard.onFault=rollback');
  assert.deepEqual(interventionsOf(rolledBack), ['rollback']);
  assert.equal(rolledBack.summary.step, NUM_STEPS);
  const done = rolledBack.events.flatMap((event) => (event.kind === 'step' ? [event.step] : []));
  assert.deepEqual(done, [1, 2, 3, 3, 4, 5, 6]);
  await assertFinite(rolledBack);
});

test('NaN in one expert’s gradient: the expert is named as checkpoints name it', async (context) => {
  const experts = 'model.layers.1.mlp.experts.gate_up_proj.weight';
  const sabotage: Sabotage = {
    ...nanInGradient,
    act: (state, kernels) => poke(kernels, gradientNamed(state, experts), Number.NaN),
  };
  const { incident } = (await run(context, sabotage, 'guard.onFault=stop')).summary;
  // Row 512 of 16 experts, each with 32 rows of gate and 32 of up.
  assert.equal(incident?.tensor, 'model.layers.1.mlp.experts.8.gate_proj.weight');
  assert.equal(incident?.layer, 1);
});

test('An overflow is found in the activation where it begins', async (context) => {
  const broken = await run(context, overflow, 'guard.onFault=stop');
  const { incident } = broken.summary;
  assert.equal(incident?.where, 'activation');
  assert.equal(incident?.layer, 1);
  assert.equal(incident?.tensor, 'layer1.ffn_out');
});

test('Loss spike: stop keeps the state before it, skip and rollback go on', async (context) => {
  const stopped = await run(context, spike, 'guard.onSpike=stop');
  const { end, incident, checkpoint } = stopped.summary;
  assert.deepEqual([end, incident?.what, incident?.step], ['fault', 'spike', PASS]);
  assert.match(incident?.message ?? '', /against a median of/);
  assert.equal(checkpoint?.name, 'step-0000003');
  await assertFinite(stopped);

  for (const action of ['skip', 'rollback']) {
    const went = await run(context, spike, `guard.onSpike=${action}`);
    assert.deepEqual(interventionsOf(went), [action]);
    assert.equal(went.summary.end, 'finished');
    const losses = went.events.flatMap((event) => (event.kind === 'step' ? [event.loss] : []));
    assert.ok(Math.max(...losses) < 8, 'no applied step has the spike');
  }
});

test('A fault that comes again and again ends the run after the allowed interventions', async (context) => {
  const settings = ['guard.onFault=rollback', 'guard.maxInterventions=2'];
  const broken = await run(context, { ...nanInGradient, isRepeated: true }, ...settings);
  assert.equal(broken.summary.end, 'fault');
  assert.deepEqual(interventionsOf(broken), ['rollback', 'rollback', 'stop']);
  assert.match(broken.summary.incident?.message ?? '', /2 interventions were allowed/);
});

test('train: a run that the guard stops ends with exit code 1, its figures, and the place', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  await moebiusJson(...tinyRun({ text, out }));
  const checkpoints = join(out, 'checkpoints');
  rmSync(join(checkpoints, 'step-0000006'), { recursive: true });
  // Large, and finite, until they are multiplied with one another.
  editSafetensors(join(checkpoints, 'step-0000004', 'model.safetensors'), ({ header, data }) => {
    for (const part of ['gate', 'up', 'down']) {
      const name = `model.layers.1.mlp.shared_experts.${part}_proj.weight`;
      const [begin = 0, end = 0] = header[name]?.data_offsets ?? [];
      assert.ok(end > begin, name);
      for (let at = begin; at < end; at += 4) data.writeFloatLE(1e17 * data.readFloatLE(at), at);
    }
  });
  const ran = await moebius(...tinyRun({ text, out }), '--resume', '--json');
  assert.equal(ran.code, 1);
  for (const said of [/train\.fault/, /layer: 1/, /step: 5/, /where: activation/]) {
    assert.match(ran.stderr, said);
  }
  assert.match(ran.stderr, /guard\.onFault=skip or =rollback/);
  assert.doesNotMatch(ran.stderr, /^\s+at .*:\d+:\d+/m);
  const { end, incident } = jsonOf(ran);
  assert.equal(end, 'fault');
  assert.equal((incident as Json).step, 5);
});

test('resume: a NaN in the weights or moments is found before a step is made', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  await moebiusJson(...tinyRun({ text, out }));
  const checkpoint = join(out, 'checkpoints', 'step-0000006');
  const damages = [
    ['optimizer.safetensors', `second_moment.${WEIGHT}`],
    ['model.safetensors', WEIGHT],
  ] as const;
  for (const [file, tensor] of damages) {
    pokeFloat(join(checkpoint, file), tensor, { index: 7, value: Number.NaN });
    const ran = await moebius(...tinyRun({ text, out }), '--resume');
    assertRefused(ran, 'checkpoint.notFinite');
    assert.ok(ran.stderr.includes(tensor), ran.stderr);
  }
});

function assertSameWeights(a: SabotagedRun, b: SabotagedRun): void {
  const last = (run: SabotagedRun): string => run.summary.checkpoint?.directory ?? '';
  assert.match(last(a), /step-0000006$/);
  for (const file of ['model.safetensors', 'optimizer.safetensors']) {
    const [one, other] = [a, b].map((run) => readFileSync(join(last(run), file)));
    assert.ok(one?.equals(other ?? Buffer.of()), file);
  }
}
