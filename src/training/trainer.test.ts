/** The trainer on an executor one can follow by hand, faults and kills included. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryDisk } from '../../tests/support/quadraticExecutor.ts';
import {
  essence,
  letterId,
  POISON,
  smallConfig,
  smallRun,
  stepReports,
} from '../../tests/support/trainingFixture.ts';
import { MoebiusError } from '../base/errors.ts';
import type { InterventionEvent, TrainingEvent } from './events.ts';
import { parseTrainerState } from './trainerState.ts';

const kinds = (events: readonly TrainingEvent[]): string[] => events.map((event) => event.kind);

function interventions(events: readonly TrainingEvent[]): readonly InterventionEvent[] {
  return events.filter((event): event is InterventionEvent => event.kind === 'intervention');
}

test('Trainer: the loss falls, and the end is saved before it is judged', async () => {
  const { trainer, executor, disk, events } = smallRun();
  const summary = await trainer.run();
  assert.equal(summary.end, 'finished');
  assert.equal(summary.step, 20);
  assert.equal(summary.tokens, 20 * 4 * 8);
  const reports = stepReports(events);
  assert.ok((reports[19]?.loss ?? 1) < 0.5 * (reports[0]?.loss ?? 0));
  const steps = new Array<string>(20).fill('step');
  const ending = ['checkpoint', 'evaluation', 'sample', 'end'];
  assert.deepEqual(kinds(events), ['start', ...steps, ...ending]);
  assert.deepEqual([...disk.checkpoints.keys()], ['step-0000020']);
  assert.deepEqual(disk.checkpoints.get('step-0000020')?.files, { 'config.json': '{}' });
  const first = executor.log.slice(0, 9);
  const pass = ['loadMicroBatch', 'forward', 'backward'];
  assert.deepEqual(first, [...pass, ...pass, 'reduceGradients', 'optimizerStep', 'updateBias']);
});

test('Trainer: a report holds the step as it was', async () => {
  const memoryBytes = (): number => 1234;
  const machine = { fmaPeakFlops: 1e9, predictedStepSeconds: 1.5, memoryBytes };
  const { trainer, events } = smallRun({ parts: { machine } });
  await trainer.run();
  const [report] = stepReports(events);
  assert.ok(report);
  // Nine instructions of an eighth of a second; drawing batches takes no time on this clock.
  assert.equal(report.seconds, 9 / 8);
  assert.equal(report.tokensPerSecond, 32 / (9 / 8));
  assert.equal(report.dataShare, 0);
  assert.equal(report.elapsedSeconds, 9 / 8);
  assert.equal(report.remainingSeconds, (19 * 9) / 8);
  assert.equal(report.predictedSeconds, 1.5);
  assert.equal(report.memoryBytes, 1234);
  assert.equal(report.shareOfPeak, (report.flops / 32) * report.tokensPerSecond * 1e-9);
  assert.equal(report.learningRate, 0.025, 'half of the peak in the first of two warm-up steps');
  assert.deepEqual([report.mtpWeight, report.biasSpeed], [0.3, 0.001]);
  assert.equal(report.smoothedLoss, report.mainLoss);
  assert.equal(report.sequences, 4);
  assert.equal(report.spans.length, 9);
  assert.equal(report.balance?.layers.length, 1);
  assert.equal(report.balance?.biasMax, 0.001);
});

test('Trainer: a checkpoint comes before the evaluation and sample of its step', async () => {
  const config = smallConfig({ evaluation: { every: 5 }, sample: { every: 10 } });
  const { trainer, events, executor } = smallRun({ config });
  await trainer.run();
  const looks = kinds(events).filter((kind) => kind !== 'step');
  const evaluated = ['checkpoint', 'evaluation'];
  const both = [...evaluated, 'sample'];
  assert.deepEqual(looks, ['start', ...evaluated, ...both, ...evaluated, ...both, 'end']);
  const evaluateAt = executor.log.indexOf('evaluate');
  assert.ok(executor.log.lastIndexOf('saveShard', evaluateAt) > 0);
});

test('Trainer: an evaluation that dies leaves the steps before it on the disk', async () => {
  const config = smallConfig({ evaluation: { every: 5 } });
  const whole = smallRun({ config });
  await whole.trainer.run();
  const diesAfter = whole.executor.log.indexOf('evaluate');
  const { trainer, disk } = smallRun({ config, diesAfter });
  await assert.rejects(trainer.run(), /killed/);
  assert.deepEqual([...disk.checkpoints.keys()], ['step-0000005']);
});

test('Trainer: killed at any moment and resumed, a run goes on bit for bit', async () => {
  const config = smallConfig({
    steps: 12,
    evaluation: { every: 4 },
    checkpoint: { every: 3, keepLast: 2 },
    average: { decay: 0.9 },
    guard: { onFault: 'skip' },
  });
  const poison = { id: POISON, does: 'nan' } as const;
  const alphabet = 'abcdefghijklmnopz';
  const whole = smallRun({ config, poison, alphabet });
  const wholeSummary = await whole.trainer.run();
  assert.ok(wholeSummary.numSkipped > 0, 'the property covers skipped steps too');
  const truth = new Map(stepReports(whole.events).map((report) => [report.step, essence(report)]));

  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: whole.executor.log.length - 1 }), async (moment) => {
      const disk = new MemoryDisk();
      const killed = smallRun({ config, poison, alphabet, disk, diesAfter: moment });
      await assert.rejects(killed.trainer.run(), /killed/);
      const newest = [...disk.checkpoints.keys()].at(-1);
      const parts = newest === undefined ? {} : { resumeFrom: newest };
      const resumed = smallRun({ config, poison, alphabet, disk, parts });
      const summary = await resumed.trainer.run();

      assert.deepEqual(resumed.executor.weights, whole.executor.weights);
      for (const report of stepReports(resumed.events)) {
        assert.deepEqual(essence(report), truth.get(report.step));
      }
      assert.deepEqual(resumed.data.position, whole.data.position);
      assert.deepEqual(summary.best, wholeSummary.best);
      assert.equal(summary.validationBitsPerByte, wholeSummary.validationBitsPerByte);
      assert.equal(summary.numSkipped, wholeSummary.numSkipped);
      assert.deepEqual([...disk.checkpoints.keys()], [...whole.disk.checkpoints.keys()]);
      assert.deepEqual(disk.best, whole.disk.best);
    }),
    { numRuns: 60 },
  );
});

test('Trainer: a stop that is asked for saves after the step and resumes alike', async () => {
  const config = smallConfig({ evaluation: { every: 4 } });
  const whole = smallRun({ config });
  await whole.trainer.run();
  for (let stopAt = 1; stopAt <= 20; stopAt++) {
    const disk = new MemoryDisk();
    const stopped = smallRun({
      config,
      disk,
      onEvent: (event, trainer) => {
        if (event.kind === 'step' && event.step === stopAt) trainer.requestStop();
      },
    });
    const summary = await stopped.trainer.run();
    assert.equal(summary.end, 'requested');
    assert.equal(summary.step, stopAt);
    const name = `step-${String(stopAt).padStart(7, '0')}`;
    assert.equal(summary.checkpoint?.name, name);
    const resumed = smallRun({ config, disk, parts: { resumeFrom: name } });
    const after = await resumed.trainer.run();
    assert.equal(after.end, 'finished');
    assert.deepEqual(resumed.executor.weights, whole.executor.weights);
    assert.deepEqual(disk.best, whole.disk.best, `stopped at ${stopAt}`);
    // What was due at the stop is done first.
    const wasDue = stopAt % 4 === 0;
    assert.equal(kinds(resumed.events)[1] === 'evaluation', wasDue);
  }
});

test('Trainer: the newest checkpoints and the best one stay', async () => {
  // A rate this high overshoots, so the best evaluation is an early one.
  const config = smallConfig({
    steps: 24,
    evaluation: { every: 4 },
    checkpoint: { every: null, keepLast: 2 },
    learningRate: { peak: 0.2 },
  });
  const { trainer, disk, events } = smallRun({ config });
  const { best } = await trainer.run();
  const evaluations = events.filter((event) => event.kind === 'evaluation');
  const lowest = Math.min(...evaluations.map((event) => event.bitsPerByte));
  assert.equal(best?.bitsPerByte, lowest);
  assert.ok(best !== null && best.step < 20, 'the best is not among the newest');
  assert.deepEqual([...disk.checkpoints.keys()], [best.name, 'step-0000020', 'step-0000024']);
  assert.deepEqual(disk.best, best);
});

test('Trainer: what an earlier timeline left is neither removed nor written over', async () => {
  const config = smallConfig({ steps: 8, checkpoint: { every: 2, keepLast: 9 } });
  const { trainer, disk } = smallRun({ config });
  await trainer.run();
  const resumed = smallRun({ config, disk, parts: { resumeFrom: 'step-0000004' } });
  await resumed.trainer.run();
  const left = ['step-0000006', 'step-0000008'];
  const names = ['step-0000002', 'step-0000004', ...left, 'step-0000006-2', 'step-0000008-2'];
  assert.deepEqual([...disk.checkpoints.keys()], names);
});

test('Trainer: a NaN stops the run, says where, and keeps the last good state', async () => {
  const poison = { id: POISON, does: 'nan' } as const;
  const options = { poison, alphabet: 'abcdefghijklmnopz' };
  const { trainer, executor, disk, events } = smallRun(options);
  const summary = await trainer.run();
  assert.equal(summary.end, 'fault');
  assert.equal(summary.incident?.step, summary.step + 1);
  assert.equal(summary.incident?.layer, 1);
  assert.equal(summary.incident?.tensor, 'model.layers.1.mlp.gate.weight');
  assert.deepEqual(interventions(events)[0]?.action, 'stop');
  const name = summary.checkpoint?.name ?? '';
  assert.deepEqual(disk.checkpoints.get(name)?.weights, executor.weights);
  assert.ok(executor.weights.w.every(Number.isFinite));

  // The same rules stop at the same step again; others get past it.
  const again = smallRun({ ...options, disk, parts: { resumeFrom: name } });
  const second = await again.trainer.run();
  assert.deepEqual([second.end, second.step], ['fault', summary.step]);
  const config = smallConfig({ guard: { onFault: 'skip' } });
  const skipping = smallRun({ ...options, config, disk, parts: { resumeFrom: name } });
  assert.equal((await skipping.trainer.run()).end, 'finished');
});

test('Trainer: a skipped step counts in schedules, not in Adam', async () => {
  const config = smallConfig({ guard: { onFault: 'skip' } });
  const poison = { id: POISON, does: 'infinity' } as const;
  const { trainer, executor, events } = smallRun({ config, poison, alphabet: 'abcdefghz' });
  const summary = await trainer.run();
  assert.equal(summary.end, 'finished');
  assert.ok(summary.numSkipped > 0);
  assert.equal(stepReports(events).length, 20 - summary.numSkipped);
  assert.equal(executor.learningRates.length, 20 - summary.numSkipped);
  assert.equal(summary.tokens, 20 * 32);
  assert.equal(executor.log.filter((kind) => kind === 'dropGradients').length, summary.numSkipped);
  for (const { action, incident } of interventions(events)) {
    assert.deepEqual([action, incident.what], ['skip', 'infinity']);
  }
  assert.ok(executor.weights.w.every(Number.isFinite));
});

test('Trainer: a rollback goes to the snapshot and shows no batch again', async () => {
  const config = smallConfig({ guard: { onFault: 'rollback', snapshotEvery: 4 } });
  const poison = { id: POISON, does: 'nan' } as const;
  const { trainer, data, events } = smallRun({ config, poison, alphabet: 'abcdefghijklmnopz' });
  const summary = await trainer.run();
  assert.equal(summary.end, 'finished');
  assert.ok(summary.numRollbacks > 0);
  const [first] = interventions(events);
  assert.ok(first);
  assert.equal(first.action, 'rollback');
  assert.equal(first.step, Math.floor((first.incident.step - 1) / 4) * 4);
  const steps = stepReports(events).map((report) => report.step);
  const at = kinds(events).slice(0, kinds(events).indexOf('intervention'));
  assert.equal(steps[at.filter((kind) => kind === 'step').length], first.step + 1);
  // Every step that was computed drew new sequences, those of steps that were undone included.
  const computed = steps.length + summary.numRollbacks;
  assert.equal(data.position.pools[0]?.total, 4 * computed);
});

test('Trainer: a rollback brings weights and schedules back to the snapshot', async () => {
  const config = smallConfig({ guard: { onFault: 'rollback', snapshotEvery: 5 } });
  const poison = { id: POISON, does: 'nan' } as const;
  const alphabet = 'abcdefghijklmnopz';
  const { trainer, executor, events } = smallRun({ config, poison, alphabet });
  await trainer.run();
  const [first] = interventions(events);
  assert.ok(first);
  // A run of exactly the snapshot's steps is what the rollback goes back to: the rate says so.
  const rates = executor.learningRates;
  const applied = first.incident.step - 1;
  assert.equal(rates[applied], rates[first.step]);
});

test('Trainer: stopped right after a rollback, it saves where the data stands', async () => {
  const config = smallConfig({ guard: { onFault: 'rollback' }, checkpoint: { every: 1 } });
  const poison = { id: POISON, does: 'nan' } as const;
  const { trainer, data, disk } = smallRun({
    config,
    poison,
    alphabet: 'abcdefghijklmnopz',
    onEvent: (event, running) => {
      if (event.kind === 'intervention') running.requestStop();
    },
  });
  const summary = await trainer.run();
  assert.equal(summary.end, 'requested');
  // The rollback went to a checkpoint's progress, but that checkpoint would show the batch again.
  assert.match(summary.checkpoint?.name ?? '', /-2$/);
  const text = disk.checkpoints.get(summary.checkpoint?.name ?? '')?.trainerState ?? '';
  assert.deepEqual(parseTrainerState(text).position, data.position);
  assert.equal(data.position.pools[0]?.total, 4 * (summary.step + 1));
});

test('Trainer: a broken weight is rolled back, not skipped, or ends the run', async () => {
  const poison = { id: POISON, does: 'break' } as const;
  const options = { poison, alphabet: 'abcdefghijklmnopz' };
  const withSnapshots = smallConfig({ guard: { onFault: 'skip', snapshotEvery: 3 } });
  const rolled = await smallRun({ ...options, config: withSnapshots }).trainer.run();
  assert.ok(rolled.numRollbacks > 0 && rolled.numSkipped === 0);
  const without = smallRun({ ...options, config: smallConfig({ guard: { onFault: 'skip' } }) });
  const summary = await without.trainer.run();
  assert.equal(summary.end, 'fault');
  assert.equal(without.disk.checkpoints.size, 0, 'broken weights are not saved');
});

test('Trainer: a spike of the loss is met as configured', async () => {
  const poison = { id: POISON, does: 'spike' } as const;
  // Sixty steps are nearly four epochs: the poison comes with the window filled, too.
  const options = { poison, alphabet: 'abcdefghijklmnopz' };
  const spiking = (onSpike: 'stop' | 'skip' | 'ignore') =>
    smallRun({ ...options, config: smallConfig({ steps: 60, guard: { onSpike } }) });
  const stopped = await spiking('stop').trainer.run();
  assert.equal(stopped.end, 'fault');
  assert.equal(stopped.incident?.what, 'spike');
  assert.match(stopped.incident?.message ?? '', /against a median/);
  const skipped = await spiking('skip').trainer.run();
  assert.deepEqual([skipped.end, skipped.numSkipped > 0], ['finished', true]);
  const ignored = await spiking('ignore').trainer.run();
  assert.deepEqual([ignored.end, ignored.numSkipped], ['finished', 0]);
});

test('Trainer: after the allowed interventions it stops', async () => {
  const config = smallConfig({ steps: 100, guard: { onFault: 'skip', maxInterventions: 2 } });
  const poison = { id: POISON, does: 'nan' } as const;
  const summary = await smallRun({ config, poison, alphabet: 'abz' }).trainer.run();
  assert.deepEqual([summary.end, summary.numSkipped], ['fault', 2]);
  assert.match(summary.incident?.message ?? '', /2 interventions were allowed/);
});

test('Trainer: resuming with other data is refused', async () => {
  const { trainer, disk } = smallRun();
  await trainer.run();
  const parts = { resumeFrom: 'step-0000020' };
  const other = smallRun({ disk, parts, alphabet: 'xyz' });
  await assert.rejects(
    other.trainer.run(),
    (error: unknown) => error instanceof MoebiusError && error.code === 'data.changed',
  );
});

test('Trainer: a longer run goes on from the end of a shorter one', async () => {
  const { trainer, disk } = smallRun();
  await trainer.run();
  const config = smallConfig({ steps: 30 });
  const longer = smallRun({ config, disk, parts: { resumeFrom: 'step-0000020' } });
  const summary = await longer.trainer.run();
  assert.deepEqual([summary.end, summary.step], ['finished', 30]);
  assert.equal(stepReports(longer.events)[0]?.step, 21);
});

test('Trainer: a batch ramp grows the steps and keeps to the tokens it announced', async () => {
  const batch = { sequences: 8, microBatch: 2, rampFrom: 2, rampTokens: 400 };
  const { trainer, events } = smallRun({ config: smallConfig({ batch }) });
  const summary = await trainer.run();
  const sizes = stepReports(events).map((report) => report.sequences);
  assert.equal(sizes[0], 2);
  assert.equal(sizes.at(-1), 8);
  assert.deepEqual(
    sizes,
    sizes.toSorted((a, b) => a - b),
  );
  const [start] = events;
  assert.ok(start?.kind === 'start');
  assert.equal(start.totalTokens, summary.tokens);
});

test('Trainer: evaluation can use the average of the weights', async () => {
  const config = smallConfig({ average: { decay: 0.5 }, evaluation: { weights: 'average' } });
  const { trainer, executor, events } = smallRun({ config });
  await trainer.run();
  const evaluation = events.find((event) => event.kind === 'evaluation');
  assert.equal(evaluation?.weights, 'average');
  const average = executor.weights.average?.[0] ?? Number.NaN;
  assert.notEqual(average, executor.weights.w[0]);
  const letter = letterId('g');
  // Six letters and the end of the text, id 1.
  const nats = 6 * (average - letter / 256) ** 2 + (average - 1 / 256) ** 2;
  assert.ok(Math.abs((evaluation?.lossPerToken ?? 0) - nats / 7) < 1e-12);
  assert.ok(Math.abs((evaluation?.bitsPerByte ?? 0) - nats / Math.LN2 / 6) < 1e-12);
});

test('Trainer: without a generator there are no samples', async () => {
  const { trainer, events } = smallRun({ isMute: true });
  await trainer.run();
  assert.ok(!kinds(events).includes('sample'));
});

test('parseTrainerState: what is damaged is named', async () => {
  const { trainer, disk } = smallRun();
  await trainer.run();
  const text = disk.checkpoints.get('step-0000020')?.trainerState ?? '';
  const state = parseTrainerState(text);
  assert.deepEqual(JSON.parse(text), state);
  const refuses = (change: object | string, reason: RegExp): void =>
    assert.throws(
      () =>
        parseTrainerState(
          typeof change === 'string' ? change : JSON.stringify({ ...state, ...change }),
        ),
      (error: unknown) =>
        error instanceof MoebiusError &&
        error.code === 'resume.state' &&
        reason.test(error.message),
    );
  refuses('{', /no JSON/);
  refuses('[]', /the state/);
  refuses({ version: 2 }, /version/);
  refuses({ progress: { step: '1' } }, /progress\.step/);
  refuses({ kept: { saved: [3], best: null } }, /kept\.saved\.0/);
  refuses({ position: { fingerprint: 'x', pools: [{}] } }, /position\.pools\.0\.epoch/);
});
