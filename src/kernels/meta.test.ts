/** Meta kernels: they refuse numbers, count memory, write costs down, and follow known integers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import type { Arena } from '../tensor/arena.ts';
import { slices } from '../tensor/tensor.ts';
import type { Kernels, RoutingRule } from './kernels.ts';
import { createMetaKernels, metaCollectives } from './meta.ts';

const RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 1,
  groupsKept: 1,
  groupScore: 'max',
  expertsPerToken: 2,
  isNormalised: true,
  scale: 1,
};

/** Four tokens to two of three experts each, and one product per expert. */
function runExperts(kernels: Kernels, arena: Arena) {
  const f32 = (...shape: readonly number[]) => arena.allocate('f32', shape);
  const i32 = (...shape: readonly number[]) => arena.allocate('i32', shape);
  const [ids, counts, offsets] = [i32(4, 2), i32(3), i32(4)];
  kernels.fill({ out: counts, value: 0 });
  kernels.routeTopK({
    scores_TE: f32(4, 3),
    ids_TK: ids,
    weights_TK: f32(4, 2),
    counts_E: counts,
    logits_TE: f32(4, 3),
    bias_E: f32(3),
    rule: RULE,
  });
  const [slot, row] = [i32(8), i32(4, 2)];
  kernels.sortByExpert({ offsets, slot_R: slot, row_TK: row, ids_TK: ids });
  const b = { values: f32(3, 5, 6) };
  kernels.groupedMatmul({ out: f32(8, 5), a: f32(8, 6), b, offsets, layout: 'nt' });
  return { ids, counts, offsets, slot, row };
}

test('meta: each operation leaves one record with its cost and the label of that time', () => {
  const meta = createMetaKernels();
  const { kernels, records } = meta;
  const arena = kernels.createArena('test');
  const [x, w] = [arena.allocate('f32', [4, 6]), arena.allocate('f32', [3, 6])];
  const args = {
    out: arena.allocate('f32', [4, 3]),
    a: x,
    b: { values: w },
    layout: 'nt' as const,
  };
  meta.label = 'layer 0 attention';
  kernels.matmul(args);
  meta.label = 'layer 0 experts';
  kernels.scale({ x, factor: 2 });
  assert.deepEqual(
    records.map(({ operation, label, kind, flops }) => ({ operation, label, kind, flops })),
    [
      { operation: 'matmul', label: 'layer 0 attention', kind: 'compute', flops: 144 },
      { operation: 'scale', label: 'layer 0 experts', kind: 'memory', flops: 24 },
    ],
  );
  assert.equal(records[0]?.args, args);
});

test('meta: a misfit call is refused and leaves no record', () => {
  const { kernels, records } = createMetaKernels();
  const arena = kernels.createArena('test');
  const [x, out] = [arena.allocate('f32', [4, 6]), arena.allocate('f32', [4, 5])];
  assert.throws(() => kernels.copy({ out, x }), AssertionError);
  assert.equal(records.length, 0);
});

test('meta: there are no numbers to read', async () => {
  const { kernels } = createMetaKernels();
  const arena = kernels.createArena('test');
  const [x, ids] = [arena.allocate('f32', [4]), arena.allocate('i32', [4])];
  kernels.write(x, new Float32Array(4));
  await assert.rejects(kernels.read(x), AssertionError);
  await assert.rejects(kernels.read(ids), AssertionError);
  assert.throws(() => kernels.write(x, new Float32Array(5)), AssertionError);
});

test('meta: integers from the host can be read until something else lies there', async () => {
  const { kernels } = createMetaKernels();
  const arena = kernels.createArena('test');
  const mark = arena.mark();
  const ids = arena.allocate('i32', [4]);
  const written = Int32Array.of(3, 1, 4, 1);
  kernels.write(ids, written);
  written.fill(0);
  assert.deepEqual(await kernels.read(ids), Int32Array.of(3, 1, 4, 1));
  const copied = arena.allocate('i32', [4]);
  kernels.copy({ out: copied, x: ids });
  assert.deepEqual(await kernels.read(copied), Int32Array.of(3, 1, 4, 1));
  arena.release(mark);
  await assert.rejects(kernels.read(arena.allocate('i32', [4])), AssertionError);
});

test('meta: terabytes are counted, not taken', () => {
  const { kernels } = createMetaKernels();
  const arena = kernels.createArena('weights');
  const mark = arena.mark();
  const weight = arena.allocate('f32', [671_026_404_352]);
  kernels.fill({ out: weight, value: 0 });
  assert.equal(arena.usedBytes, 4 * 671_026_404_352);
  arena.release(mark);
  assert.equal(arena.usedBytes, 0);
  assert.equal(arena.peakBytes, 4 * 671_026_404_352);
});

test('meta: without sampled routing nobody knows who goes where', async () => {
  const { kernels, records } = createMetaKernels();
  const { ids, offsets } = runExperts(kernels, kernels.createArena('test'));
  await assert.rejects(kernels.read(ids), AssertionError);
  await assert.rejects(kernels.read(offsets), AssertionError);
  assert.equal(records[records.length - 1]?.sizes.activeGroups, 3);
});

test('meta: with sampled routing ids, counts, offsets and costs follow', async () => {
  const sample = Int32Array.of(2, 0, 2, 0, 0, 2, 2, 0);
  const meta = createMetaKernels({
    sampleRouting: (wanted) => {
      assert.deepEqual(wanted, { numTokens: 4, numExperts: 3, expertsPerToken: 2 });
      return sample;
    },
  });
  const { kernels } = meta;
  const routed = runExperts(kernels, kernels.createArena('test'));
  assert.deepEqual(await kernels.read(routed.ids), sample);
  assert.deepEqual(await kernels.read(routed.counts), Int32Array.of(4, 0, 4));
  assert.deepEqual(await kernels.read(routed.offsets), Int32Array.of(0, 4, 4, 8));
  assert.deepEqual(await kernels.read(routed.slot), Int32Array.of(1, 3, 4, 7, 0, 2, 5, 6));
  assert.deepEqual(await kernels.read(routed.row), Int32Array.of(4, 0, 5, 1, 2, 6, 7, 3));
  assert.equal(meta.records[meta.records.length - 1]?.sizes.activeGroups, 2);
});

test('meta: a sample of another size is refused', () => {
  const { kernels } = createMetaKernels({ sampleRouting: () => new Int32Array(7) });
  assert.throws(() => runExperts(kernels, kernels.createArena('test')), AssertionError);
});

test('meta: a part of known integers is not taken for the whole', async () => {
  const { kernels } = createMetaKernels();
  const table = kernels.createArena('test').allocate('i32', [4, 2]);
  kernels.write(table, new Int32Array(8));
  await assert.rejects(kernels.read(slices(table, 0, 2)), AssertionError);
});

test('metaCollectives: bytes that leave a rank, rows that arrive as they left', () => {
  const meta = createMetaKernels();
  const arena = meta.kernels.createArena('test');
  const rows = arena.allocate('f32', [100, 10]);
  const collectives = metaCollectives(meta, { size: 4, rank: 1, arena });
  meta.label = 'layer 3 dispatch';
  const used = arena.usedBytes;
  const offsets = arena.allocate('i32', [9]);
  const { rows_RD: arrived, offsets: own } = collectives.dispatch(rows, offsets).finish();
  assert.deepEqual(arrived.shape, rows.shape);
  assert.deepEqual(own.shape, [3], 'a quarter of the eight experts');
  assert.notEqual(arrived, rows);
  assert(arena.usedBytes >= used + 4000);
  assert.equal(collectives.allReduce(rows).finish(), rows);
  assert.deepEqual(
    meta.records.map(({ operation, kind, label, bytesRead, bytesWritten }) => ({
      ...{ operation, kind, label, bytesRead, bytesWritten },
    })),
    [
      {
        operation: 'dispatch',
        kind: 'communication',
        label: 'layer 3 dispatch',
        bytesRead: 3000,
        bytesWritten: 3000,
      },
      {
        operation: 'allReduce',
        kind: 'communication',
        label: 'layer 3 dispatch',
        bytesRead: 6000,
        bytesWritten: 6000,
      },
    ],
  );
});

test('metaCollectives: one rank has everything where it should be', () => {
  const meta = createMetaKernels();
  const arena = meta.kernels.createArena('test');
  const rows = arena.allocate('f32', [8, 2]);
  const alone = metaCollectives(meta, { size: 1, rank: 0, arena });
  const offsets = arena.allocate('i32', [3]);
  assert.deepEqual(alone.dispatch(rows, offsets).finish(), { rows_RD: rows, offsets });
  for (const transfer of [alone.combine(rows), alone.allReduce(rows)]) {
    assert.equal(transfer.finish(), rows);
  }
  assert.equal(meta.records.length, 0);
  assert.throws(() => metaCollectives(meta, { size: 2, rank: 2, arena }), AssertionError);
});
