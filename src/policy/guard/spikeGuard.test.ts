/** The guard: what counts as a fault or a spike, and what it decides then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault } from '../../program/instruction.ts';
import { type GuardRules, SpikeGuard, type StepObservation } from './spikeGuard.ts';

const rules: GuardRules = {
  onFault: 'stop',
  onSpike: 'stop',
  window: 20,
  spikeDeviations: 10,
  spikeNormFactor: 100,
  maxInterventions: 3,
};

/** A run that falls slowly with a ripple of a few per cent, as small batches have. */
function healthy(step: number): StepObservation {
  const loss = 5 * 0.999 ** step + 0.1 * Math.sin(step * 2.3);
  return { step, loss, gradientNorm: 1 + 0.5 * Math.sin(step), fault: null };
}

function warmedUp(changes: Partial<GuardRules> = {}): SpikeGuard {
  const guard = new SpikeGuard({ ...rules, ...changes });
  for (let step = 1; step <= 40; step++) {
    const verdict = guard.judge(healthy(step), { hasSnapshot: true });
    assert.equal(verdict.kind, 'apply');
  }
  return guard;
}

const withSnapshot = { hasSnapshot: true };
const gradientFault: Fault = {
  what: 'nan',
  where: 'gradient',
  layer: 3,
  tensor: 'model.layers.3.mlp.gate.weight',
};

test('SpikeGuard: a healthy run of a thousand steps is never touched', () => {
  const guard = new SpikeGuard(rules);
  for (let step = 1; step <= 1000; step++) {
    assert.equal(guard.judge(healthy(step), withSnapshot).kind, 'apply');
  }
});

test('SpikeGuard: a fault stops and names step, layer and tensor', () => {
  const verdict = warmedUp().judge({ ...healthy(41), fault: gradientFault }, withSnapshot);
  assert.equal(verdict.kind, 'stop');
  assert.ok(verdict.kind === 'stop');
  assert.equal(verdict.incident.step, 41);
  assert.equal(verdict.incident.layer, 3);
  assert.equal(verdict.incident.tensor, 'model.layers.3.mlp.gate.weight');
  assert.match(verdict.incident.message, /step 41: nan in the gradient .*gate\.weight of layer 3/);
});

test('SpikeGuard: a loss or norm that is not finite is a fault, tensor or no tensor', () => {
  const infinite = warmedUp().judge({ ...healthy(41), loss: Infinity }, withSnapshot);
  assert.ok(infinite.kind === 'stop');
  assert.deepEqual([infinite.incident.what, infinite.incident.where], ['infinity', 'loss']);
  const nan = new SpikeGuard(rules).judge({ ...healthy(1), gradientNorm: NaN }, withSnapshot);
  assert.ok(nan.kind === 'stop');
  assert.deepEqual([nan.incident.what, nan.incident.where], ['nan', 'gradient']);
});

test('SpikeGuard: a loss spike is judged against the median and does not enter the window', () => {
  const guard = warmedUp({ onSpike: 'skip' });
  const before = guard.state;
  const verdict = guard.judge({ ...healthy(41), loss: 8 }, withSnapshot);
  assert.ok(verdict.kind === 'skip');
  assert.equal(verdict.incident.what, 'spike');
  assert.match(verdict.incident.message, /loss 8\.0000 against a median of 4\.8/);
  assert.deepEqual(guard.state.losses, before.losses);
  assert.equal(guard.judge(healthy(42), withSnapshot).kind, 'apply');
});

test('SpikeGuard: a gradient norm a hundred times the median is a spike', () => {
  const verdict = warmedUp().judge({ ...healthy(41), gradientNorm: 150 }, withSnapshot);
  assert.ok(verdict.kind === 'stop');
  assert.equal(verdict.incident.where, 'gradient');
});

test('SpikeGuard: no spike is seen before half the window is known, and none when ignored', () => {
  const young = new SpikeGuard(rules);
  for (let step = 1; step < 10; step++) young.judge(healthy(step), withSnapshot);
  assert.equal(young.judge({ ...healthy(10), loss: 50 }, withSnapshot).kind, 'apply');
  const ignoring = warmedUp({ onSpike: 'ignore' });
  assert.equal(ignoring.judge({ ...healthy(41), loss: 50 }, withSnapshot).kind, 'apply');
});

test('SpikeGuard: a broken parameter cannot be skipped, only rolled back', () => {
  const fault: Fault = { ...gradientFault, where: 'parameter' };
  const guard = warmedUp({ onFault: 'skip' });
  assert.equal(guard.judge({ ...healthy(41), fault }, withSnapshot).kind, 'rollback');
  assert.equal(guard.judge({ ...healthy(41), fault }, { hasSnapshot: false }).kind, 'stop');
  assert.equal(guard.judge({ ...healthy(41), fault: gradientFault }, withSnapshot).kind, 'skip');
});

test('SpikeGuard: it gives up after the allowed interventions and says so', () => {
  const guard = warmedUp({ onFault: 'skip' });
  for (let i = 0; i < 3; i++) {
    const verdict = guard.judge({ ...healthy(41 + i), fault: gradientFault }, withSnapshot);
    assert.equal(verdict.kind, 'skip');
  }
  const last = guard.judge({ ...healthy(44), fault: gradientFault }, withSnapshot);
  assert.ok(last.kind === 'stop');
  assert.match(last.incident.message, /3 interventions were allowed/);
});

test('SpikeGuard: its state goes through JSON and continues alike', () => {
  const guard = warmedUp({ onSpike: 'skip' });
  guard.judge({ ...healthy(41), loss: 9 }, withSnapshot);
  const copy = new SpikeGuard(
    { ...rules, onSpike: 'skip' },
    JSON.parse(JSON.stringify(guard.state)),
  );
  for (const loss of [4.8, 5.3, 5.6, 9, 4.7, 30]) {
    const observation = { ...healthy(42), loss };
    assert.deepEqual(copy.judge(observation, withSnapshot), guard.judge(observation, withSnapshot));
  }
  assert.deepEqual(copy.state, guard.state);
});

test('SpikeGuard: a rollback restores the window but not the count of interventions', () => {
  const guard = warmedUp({ onFault: 'rollback' });
  const snapshot = guard.state;
  for (let step = 41; step < 50; step++) guard.judge(healthy(step), withSnapshot);
  guard.judge({ ...healthy(50), fault: gradientFault }, withSnapshot);
  guard.rollBack(snapshot);
  assert.deepEqual(guard.state, { ...snapshot, numInterventions: 1 });
});
