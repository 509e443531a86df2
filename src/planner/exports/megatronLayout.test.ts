/** Megatron's layout string: read by its own grammar it gives the stages back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { megatronLayout } from './megatronLayout.ts';
import { halve, type StageLayers } from './stageSplit.ts';

/**
 * The grammar as megatron/core/transformer/pipeline_parallel_layer_layout.py has it: groups are
 * unrolled first, then single letters, then bars part the stages.
 */
function readLayout(layout: string): string[] {
  const unrolled = layout
    .replace(/\(([^)]+)\)\*(\d+)/g, (_, group: string, times: string) =>
      group.repeat(Number(times)),
    )
    .replace(/(.)\*(\d+)/g, (_, letter: string, times: string) => letter.repeat(Number(times)));
  return unrolled.split('|');
}

function stagesFrom(sizes: readonly number[]): StageLayers[] {
  let first = 0;
  return sizes.map((size) => {
    const stage = { first, last: first + size };
    first += size;
    return stage;
  });
}

test('megatronLayout: read by Megatron’s grammar it is the stages, embedding, MTP and loss', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 14 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 3 }), (layers, numMtp) => {
      const expected = layers.map((size, index) => {
        const ending = index === layers.length - 1 ? `${'m'.repeat(numMtp)}L` : '';
        return `${index === 0 ? 'E' : ''}${'t'.repeat(size)}${ending}`;
      });
      assert.deepEqual(readLayout(megatronLayout(stagesFrom(layers), numMtp)), expected);
    }),
  );
});

test('megatronLayout: equal stages are one group, long ones one repetition', () => {
  assert.equal(megatronLayout(stagesFrom([4, 4, 4, 4]), 1), 'Et*4|(t*4|)*2t*4mL');
  assert.equal(megatronLayout(stagesFrom([2, 2]), 0), 'Ett|ttL');
  assert.equal(megatronLayout(stagesFrom([3]), 0), 'Et*3L');
});

test('halve: twice the stages, the same layers in the same order, the larger half first', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { minLength: 1, maxLength: 12 }), (sizes) => {
      const halves = halve(stagesFrom(sizes));
      const lengths = halves.map(({ first, last }) => last - first);
      assert.deepEqual(
        lengths,
        sizes.flatMap((size) => [Math.ceil(size / 2), Math.floor(size / 2)]),
      );
      assert.deepEqual(stagesFrom(lengths), halves);
    }),
  );
});
