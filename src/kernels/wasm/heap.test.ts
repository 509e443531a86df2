/** The heap: ranges never overlap, come back whole, and end in an error that says how much. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { WasmHeap } from './heap.ts';
import { Scratch } from './scratch.ts';
import { createMemory, PAGE_BYTES } from './webAssembly.ts';

const MAX_BYTES = 64 * PAGE_BYTES;
const BEGIN = 1000;

function createHeap(): WasmHeap {
  const memory = createMemory({ initialPages: 1, maximumPages: 64, isShared: false });
  return new WasmHeap(memory, BEGIN, MAX_BYTES);
}

const actions = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('allocate' as const),
      size: fc.integer({ max: 400_000, min: 0 }),
    }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat() }),
  ),
  { maxLength: 80 },
);

test('WasmHeap: ranges never overlap, and all come back as one', () => {
  fc.assert(
    fc.property(actions, (script) => {
      const heap = createHeap();
      const whole = heap.availableBytes;
      const live: { address: number; size: number }[] = [];
      const free = ({ address, size }: { address: number; size: number }): void =>
        heap.release(address, size);
      for (const action of script) {
        if (action.kind === 'release') {
          const [gone] = live.splice(action.which % (live.length || 1), 1);
          if (gone) free(gone);
          continue;
        }
        const { size } = action;
        const address = heap.tryAllocate(size);
        if (address === undefined) continue;
        assert.equal(address % 64, 0);
        assert.ok(address >= BEGIN && address + size <= heap.buffer.byteLength);
        for (const other of live) {
          assert.ok(address + size <= other.address || other.address + other.size <= address);
        }
        live.push({ address, size });
      }
      for (const each of live) free(each);
      assert.equal(heap.availableBytes, whole);
      // Only when no seam is left does the largest possible range fit.
      assert.ok(heap.tryAllocate(whole) !== undefined);
    }),
  );
});

test('WasmHeap: what does not fit is refused with what was wanted and what there is', () => {
  const heap = createHeap();
  const { availableBytes } = heap;
  assert.throws(
    () => heap.allocate(availableBytes + 1),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, 'kernels.outOfMemory');
      const wantedBytes = availableBytes + 1;
      assert.deepEqual(error.values, { wantedBytes, availableBytes, maxBytes: MAX_BYTES });
      assert.ok(error.hint);
      return true;
    },
  );
  assert.equal(heap.availableBytes, availableBytes);
  assert.equal(heap.allocate(availableBytes) % 64, 0);
});

test('WasmHeap: a range released twice is our own mistake', () => {
  const heap = createHeap();
  const address = heap.allocate(100);
  heap.release(address, 100);
  assert.throws(() => heap.release(address, 100), AssertionError);
});

test('Scratch: after the largest operation ran once, no memory is asked for any more', () => {
  const heap = createHeap();
  const scratch = new Scratch(heap);
  const sizes = [1000, 200_000, 70];
  const use = (): readonly number[] => {
    const addresses = sizes.map((size) => scratch.allocate(size));
    scratch.reset();
    return addresses;
  };
  use();
  const left = heap.availableBytes;
  const addresses = use();
  assert.deepEqual(use(), addresses);
  assert.equal(heap.availableBytes, left);
  const [first = 0, second = 0, third = 0] = addresses;
  assert.ok(first + 1000 <= second && second + 200_000 <= third);
});
