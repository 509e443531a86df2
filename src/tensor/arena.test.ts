/** The arena: nothing overlaps, nothing is allocated twice, and the counters tell the truth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../base/assert.ts';
import { type ArenaMark, ChunkArena } from './arena.ts';
import { bytesPerElement, type DType } from './dtype.ts';
import { hostArray, numElements, type Tensor } from './tensor.ts';

function hostArena(chunkBytes: number): { arena: ChunkArena; taken: number[] } {
  const taken: number[] = [];
  const arena = new ChunkArena((byteLength) => {
    taken.push(byteLength);
    return { byteLength, buffer: new ArrayBuffer(byteLength) };
  }, chunkBytes);
  return { arena, taken };
}

type Action =
  | { readonly kind: 'allocate'; readonly dtype: DType; readonly length: number }
  | { readonly kind: 'mark' }
  | { readonly kind: 'release' };

const actions = fc.array(
  fc.oneof<fc.Arbitrary<Action>[]>(
    fc.record({
      kind: fc.constant('allocate' as const),
      dtype: fc.constantFrom<DType>('f32', 'bf16', 'f8e4m3', 'i32'),
      length: fc.integer({ min: 0, max: 400 }),
    }),
    fc.record({ kind: fc.constant('mark' as const) }),
    fc.record({ kind: fc.constant('release' as const) }),
  ),
  { maxLength: 60 },
);

test('arena: live tensors never share a byte, whatever the marks and releases', () => {
  const play = (script: readonly Action[]): void => {
    const { arena } = hostArena(1000);
    const live: { tensor: Tensor; fill: number }[] = [];
    const marks: { mark: ArenaMark; live: number; used: number }[] = [];
    let [next, peak] = [0, 0];
    for (const action of script) {
      if (action.kind === 'mark') {
        marks.push({ mark: arena.mark(), live: live.length, used: arena.usedBytes });
      } else if (action.kind === 'release') {
        const last = marks.pop();
        if (last === undefined) continue;
        arena.release(last.mark);
        live.length = last.live;
        assert.equal(arena.usedBytes, last.used);
      } else {
        const tensor: Tensor = arena.allocate(action.dtype, [action.length]);
        assert.equal(tensor.byteOffset % 64, 0);
        const fill = ++next % 100;
        hostArray(tensor).fill(fill);
        live.push({ tensor, fill });
        peak = Math.max(peak, arena.usedBytes);
      }
      for (const { tensor, fill } of live) {
        assert(hostArray(tensor).every((value: number) => value === fill));
      }
      const bytes = live.map(
        ({ tensor }) => numElements(tensor.shape) * bytesPerElement(tensor.dtype),
      );
      assert(arena.usedBytes >= bytes.reduce((sum, length) => sum + length, 0));
      assert.equal(arena.peakBytes, peak);
      assert(arena.reservedBytes >= peak);
    }
  };
  fc.assert(fc.property(actions, play), { seed: 1, numRuns: 200 });
});

test('arena: a step like the one before takes nothing more from the system', () => {
  const { arena, taken } = hostArena(4096);
  const step = (): void => {
    const mark = arena.mark();
    for (const length of [100, 5000, 3, 900, 900]) arena.allocate('f32', [length]);
    arena.release(mark);
  };
  step();
  const after = taken.length;
  for (let i = 0; i < 10; i++) step();
  assert.equal(taken.length, after);
  assert.equal(
    arena.reservedBytes,
    taken.reduce((sum, bytes) => sum + bytes, 0),
  );
  assert.equal(arena.usedBytes, 0);
});

test('arena: a tensor larger than a chunk gets a chunk of its size', () => {
  const { arena, taken } = hostArena(128);
  const tensor = arena.allocate('f32', [1000]);
  assert.deepEqual(taken, [4032]);
  assert.equal(tensor.memory.byteLength, 4032);
});

test('arena: shapes without sense are refused', () => {
  const { arena } = hostArena(128);
  assert.throws(() => arena.allocate('f32', [-1]), AssertionError);
  assert.throws(() => arena.allocate('f32', [2.3]), AssertionError);
  assert.throws(() => arena.allocate('f32', [2 ** 40, 2 ** 40]), AssertionError);
});

test('arena: a release upwards is refused', () => {
  const { arena } = hostArena(128);
  const base = arena.mark();
  arena.allocate('f32', [4]);
  const top = arena.mark();
  arena.release(base);
  assert.throws(() => arena.release(top), AssertionError);
});
