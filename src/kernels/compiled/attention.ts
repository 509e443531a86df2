/** mlaAttention and its gradient; the cache, and absorbedAttention over it. */
import { assert, at } from '../../base/assert.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Kernels, OperationArgs } from '../kernels.ts';
import type { KernelCall } from './call.ts';
import { needIndices } from './indices.ts';

type Attention = Pick<
  Kernels,
  'mlaAttention' | 'mlaAttentionBackward' | 'appendCache' | 'readCache' | 'absorbedAttention'
>;

export function attentionKernels(call: KernelCall): Attention {
  const mlaAttention = call.operation('mlaAttention');
  const mlaAttentionBackward = call.operation('mlaAttentionBackward');
  const appendCache = call.operation('appendCache');
  const readCache = call.operation('readCache');
  const absorbedAttention = call.operation('absorbedAttention');
  return {
    mlaAttention(args) {
      const { out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, keys, scale } = args;
      const count = sequences.length - 1;
      call.begin().tensor(out_THV).tensor(logSumExp_TH);
      call.tensor(q_THD).tensor(kv_THD).tensor(kPe_TP);
      const before = keys?.before ?? new Array<number>(count).fill(0);
      call.list([...sequences, ...(keys?.sequences ?? sequences), ...before]).number(count);
      call.number(at(q_THD.shape, 1)).flag(args.accumulate).number(scale).run(mlaAttention);
    },
    mlaAttentionBackward(args) {
      const { dQ_THD, dKv_THD, dKPe_TP, dOut_THV, out_THV, logSumExp_TH } = args;
      call.begin().tensor(dQ_THD).tensor(dKv_THD).tensor(dKPe_TP);
      call.tensor(dOut_THV).tensor(out_THV).tensor(logSumExp_TH);
      call.tensor(args.q_THD).tensor(args.kv_THD).tensor(args.kPe_TP);
      call.list(args.sequences).number(at(args.q_THD.shape, 1)).number(args.scale);
      call.run(mlaAttentionBackward);
    },
    appendCache({ cache, latent_TC, kPe_TP, slots_T }) {
      needIndices('appendCache: slot', slots_T, numRows(cache));
      call.begin().tensor(cache).tensor(latent_TC).tensor(kPe_TP).tensor(slots_T).run(appendCache);
    },
    readCache({ latent_TC, kPe_TP, cache, slots_T }) {
      needIndices('readCache: slot', slots_T, numRows(cache));
      call.begin().tensor(latent_TC).tensor(kPe_TP).tensor(cache).tensor(slots_T).run(readCache);
    },
    absorbedAttention(args) {
      needCachedPositions(args);
      const { out_THC, q_THC, qPe_THP, cache, blockTable, sequence_T, length_T, scale } = args;
      call.begin().tensor(out_THC).tensor(q_THC).tensor(qPe_THP).tensor(cache);
      call.tensor(blockTable).tensor(sequence_T).tensor(length_T);
      call.number(at(cache.shape, 1)).number(at(q_THC.shape, 1)).number(scale);
      call.run(absorbedAttention);
    },
  };
}

/** Every row sees at least one position, and its sequence's table leads to blocks of the cache. */
function needCachedPositions(args: OperationArgs<'absorbedAttention'>): void {
  const { cache, blockTable, sequence_T, length_T } = args;
  const blockSize = at(cache.shape, 1);
  const capacity = numColumns(blockTable) * blockSize;
  needIndices('absorbedAttention: sequence', sequence_T, numRows(blockTable));
  needIndices('absorbedAttention: length', length_T, capacity + 1, 1);
  const [table, sequences, lengths] = [
    hostArray(blockTable),
    hostArray(sequence_T),
    hostArray(length_T),
  ];
  const numBlocks = at(cache.shape, 0);
  for (let row = 0; row < lengths.length; row++) {
    // Rows of one sequence follow each other; the longest is often the last.
    const start = at(sequences, row) * blockTable.rowStride;
    const used = Math.ceil(at(lengths, row) / blockSize);
    for (let i = 0; i < used; i++) {
      const block = table[start + i] as number;
      if (!(block >= 0 && block < numBlocks)) {
        assert(false, `absorbedAttention: block ${block} of ${numBlocks} in row ${row}`);
      }
    }
  }
}
