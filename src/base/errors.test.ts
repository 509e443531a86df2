/** The caller's mistakes: what an error carries, and what a typo is taken for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError, at, assert as holds } from './assert.ts';
import { MoebiusError, nearestName } from './errors.ts';

test('MoebiusError: carries code, values, hint and cause', () => {
  const cause = new Error('disk full');
  const error = new MoebiusError('checkpoint.unwritable', 'cannot save step 12', {
    values: { step: 12 },
    hint: 'Free 3 GiB.',
    cause,
  });
  assert(error instanceof Error);
  assert.equal(error.name, 'MoebiusError');
  assert.equal(error.code, 'checkpoint.unwritable');
  assert.equal(error.message, 'cannot save step 12');
  assert.deepEqual(error.values, { step: 12 });
  assert.equal(error.hint, 'Free 3 GiB.');
  assert.equal(error.cause, cause);
});

test('MoebiusError: without details it has no values, hint or cause', () => {
  const error = new MoebiusError('config.invalid', 'no layers');
  assert.deepEqual(error.values, {});
  assert.equal(error.hint, undefined);
  assert.equal('cause' in error, false);
});

test('nearestName: finds the name meant by a typo', () => {
  const known = ['hiddenSize', 'vocabSize', 'numHiddenLayers', 'lr'];
  assert.equal(nearestName('hidenSize', known), 'hiddenSize');
  assert.equal(nearestName('HIDDENSIZE', known), 'hiddenSize');
  assert.equal(nearestName('numHidenLayer', known), 'numHiddenLayers');
  assert.equal(nearestName('lt', known), 'lr');
});

test('nearestName: of two the nearer, of equally near the first', () => {
  assert.equal(nearestName('steps', ['stops', 'step', 'steps2']), 'stops');
  assert.equal(nearestName('batchsize', ['batchRate', 'batchSizes', 'batchSize']), 'batchSize');
});

test('nearestName: says nothing when nothing is near', () => {
  assert.equal(nearestName('temperature', ['hiddenSize', 'seed']), undefined);
  assert.equal(nearestName('seed', []), undefined);
  assert.equal(nearestName('', ['seed']), undefined);
  assert.equal(nearestName('abc', ['xyz']), undefined);
});

test('assert: throws its message; at: gives the element or throws', () => {
  holds(true, 'unused');
  assert.throws(() => holds(0, 'zero is not enough'), {
    name: 'AssertionError',
    message: 'assertion failed: zero is not enough',
  });
  assert.equal(at(Float32Array.of(1, 2), 1), 2);
  for (const index of [-1, 2, 0.5]) assert.throws(() => at([1, 2], index), AssertionError);
});
