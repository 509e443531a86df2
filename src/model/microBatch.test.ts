/** How rows, targets and MTP depths line up, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReferenceKernels } from '../kernels/reference.ts';
import {
  type MicroBatch,
  nextTokenBatch,
  type TokenBatch,
  uploadMicroBatch,
} from './microBatch.ts';

const kernels = createReferenceKernels();

function upload(
  batch: TokenBatch,
  limits: { vocabSize?: number; maxPositions?: number; numMtpDepths?: number } = {},
): MicroBatch {
  const arena = kernels.createArena('batch');
  const all = { vocabSize: 100, maxPositions: 8, numMtpDepths: 2, ...limits };
  return uploadMicroBatch({ kernels, arena, batch, ...all });
}

const two = nextTokenBatch(
  [
    [10, 11, 12, 13],
    [20, 21, 22, 23],
  ],
  2,
);

test('Targets are one token on for the main head and k + 1 for depth k', () => {
  assert.deepEqual([...two.targets], [11, 12, 13, -1, 21, 22, 23, -1]);
  assert.deepEqual([...(two.mtpTargets[0] ?? [])], [12, 13, -1, 22, 23, -1]);
  assert.deepEqual([...(two.mtpTargets[1] ?? [])], [13, -1, 23, -1]);
});

test('Depth k embeds the token k on and continues the first T − k rows before it', async () => {
  const { ids, rows, mtp } = upload(two);
  assert.deepEqual([...(await kernels.read(ids))], [10, 11, 12, 13, 20, 21, 22, 23]);
  assert.deepEqual([...(await kernels.read(rows.positions))], [0, 1, 2, 3, 0, 1, 2, 3]);
  assert.deepEqual(rows.sequences, [0, 4, 8]);
  const [one, other] = mtp;
  assert(one !== undefined && other !== undefined);
  assert.deepEqual([...(await kernels.read(one.ids))], [11, 12, 13, 21, 22, 23]);
  assert.deepEqual([...(await kernels.read(one.previous))], [0, 1, 2, 4, 5, 6]);
  assert.deepEqual([...(await kernels.read(one.rows.positions))], [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(one.rows.sequences, [0, 3, 6]);
  assert.deepEqual([...(await kernels.read(other.ids))], [12, 13, 22, 23]);
  assert.deepEqual([...(await kernels.read(other.previous))], [0, 1, 3, 4]);
});

test('A depth for which sequences are too short is left out', () => {
  assert.equal(upload(nextTokenBatch([[1, 2]], 2)).mtp.length, 1);
  assert.equal(upload(nextTokenBatch([[1]], 2)).mtp.length, 0);
});

test('Arrays that do not fit together are refused', () => {
  const broken: readonly TokenBatch[] = [
    { ...two, length: 5 },
    { ...two, targets: two.targets.subarray(1) },
    { ...two, mtpTargets: two.mtpTargets.slice(0, 1) },
    { ...two, mtpTargets: [new Int32Array(6), new Int32Array(5)] },
    nextTokenBatch([], 0),
  ];
  for (const batch of broken) assert.throws(() => upload(batch), { code: 'input.shape' });
});

test('Tokens beyond the vocabulary and sequences beyond the positions are refused', () => {
  assert.throws(() => upload(two, { vocabSize: 23 }), { code: 'input.tokenOutOfRange' });
  const negative = { ...two, ids: two.ids.map((id) => (id === 20 ? -1 : id)) };
  assert.throws(() => upload(negative), { code: 'input.tokenOutOfRange' });
  const target = { ...two, targets: two.targets.map((id) => (id === 13 ? -2 : id)) };
  assert.throws(() => upload(target), { code: 'input.tokenOutOfRange' });
  assert.throws(() => upload(two, { maxPositions: 3 }), { code: 'input.tooLong' });
});
