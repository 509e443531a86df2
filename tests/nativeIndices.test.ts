/**
 * Indices that lead nowhere are an assertion before the addon follows them: outside JavaScript they
 * would end the process or, worse, not.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../src/base/assert.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { loadAddon } from '../src/runtime/loadAddon.ts';
import { TensorBench } from './support/tensorBench.ts';

const loaded = loadAddon();
if ('reason' in loaded) {
  test('native indices', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;
  test('native kernels: indices that lead nowhere are refused', () =>
    checkIndices(new TensorBench(createNativeKernels(addon))));
}

function checkIndices(bench: TensorBench): void {
  const { kernels } = bench;
  const refuses = (what: RegExp, call: () => void): void => {
    assert.throws(call, (error) => error instanceof AssertionError && what.test(error.message));
  };
  const [x, rows] = [bench.floats(2, 4), bench.floats(4, 4)];
  const table = { values: bench.floats(3, 4) };
  for (const id of [-1, 3]) {
    const ids_T = bench.ints([0, id]);
    refuses(/embedding: id/, () => kernels.embedding({ out_TD: x, table_VD: table, ids_T }));
    refuses(/embeddingBackward: id/, () =>
      kernels.embeddingBackward({ dTable_VD: table.values, dOut_TD: x, ids_T }),
    );
  }
  for (const target of [-2, 3]) {
    refuses(/headCrossEntropy: target/, () =>
      kernels.headCrossEntropy({
        losses_T: bench.output(2),
        h_TD: x,
        head_VD: table,
        targets_T: bench.ints([0, target]),
      }),
    );
  }
  for (const position of [-1, 5]) {
    refuses(/rope: position/, () =>
      kernels.rope({
        x_THP: bench.floats(1, 1, 4),
        positions_T: bench.ints([position]),
        table: bench.floats(5, 2, 2),
        direction: 'forward',
      }),
    );
  }
  refuses(/sortByExpert: expert 2/, () =>
    kernels.sortByExpert({
      offsets: bench.ints([0, 0, 0]),
      slot_R: bench.ints([0, 0]),
      row_TK: bench.ints([0, 0], 2, 1),
      ids_TK: bench.ints([0, 2], 2, 1),
    }),
  );
  const slot_R = bench.ints([0, 1, 2, 4]);
  refuses(/permute: slot 4/, () =>
    kernels.permute({ out_RD: rows, x_TD: x, slot_R, expertsPerToken: 2 }),
  );
  const row_TK = bench.ints([0, 1, -3, 2], 2, 2);
  refuses(/unpermute: row -3/, () => kernels.unpermute({ out_TD: x, x_RD: rows, row_TK }));
  const weights_TK = bench.floats(2, 2);
  refuses(/unpermuteBackwardInput: slot 4/, () =>
    kernels.unpermuteBackwardInput({ dX_RD: rows, dOut_TD: x, slot_R, weights_TK }),
  );
  refuses(/unpermuteBackwardWeights: row -3/, () =>
    kernels.unpermuteBackwardWeights({
      dWeights_TK: weights_TK,
      dOut_TD: x,
      x_RD: rows,
      row_TK,
    }),
  );
  const cache = bench.floats(2, 4, 6);
  refuses(/appendCache: slot 8/, () =>
    kernels.appendCache({
      cache,
      latent_TC: bench.floats(1, 4),
      kPe_TP: bench.floats(1, 2),
      slots_T: bench.ints([8]),
    }),
  );
  const attend = (sequence: number, length: number, block: number) => () =>
    kernels.absorbedAttention({
      out_THC: bench.output(1, 1, 4),
      q_THC: bench.floats(1, 1, 4),
      qPe_THP: bench.floats(1, 1, 2),
      cache,
      blockTable: bench.ints([0, block], 1, 2),
      sequence_T: bench.ints([sequence]),
      length_T: bench.ints([length]),
      scale: 1,
    });
  refuses(/sequence 1/, attend(1, 5, 1));
  refuses(/length 0/, attend(0, 0, 1));
  refuses(/length 9/, attend(0, 9, 1));
  refuses(/block 2/, attend(0, 5, 2));
  attend(0, 4, 2)(); // a block beyond the row's length is nobody's business
}
