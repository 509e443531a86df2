/**
 * Looking rows up in a table, and adding their gradients back: token embeddings, and picking the
 * rows that a pass goes on with (an MTP depth, the last token of a prompt).
 */
import { at } from '../base/assert.ts';
import type { F32, I32 } from '../kernels/kernels.ts';
import { allocateF32, type StepContext } from './context.ts';
import { gradientOf, type Parameter } from './parameters.ts';

export function embeddingForward(context: StepContext, table: Parameter, ids_T: I32): F32 {
  const out = allocateF32(context, at(ids_T.shape, 0), at(table.shape, 1));
  context.kernels.embedding({ out_TD: out, table_VD: table.weight, ids_T });
  return out;
}

export function embeddingBackwardWeight(
  context: StepContext,
  table: Parameter,
  args: { ids_T: I32; dOut: F32 },
): void {
  const { ids_T, dOut } = args;
  context.kernels.embeddingBackward({ dTable_VD: gradientOf(table), dOut_TD: dOut, ids_T });
}

/** x[rows]: the same operation, with activations as the table. */
export function gatherRows(context: StepContext, x: F32, rows_T: I32): F32 {
  const out = allocateF32(context, at(rows_T.shape, 0), at(x.shape, 1));
  context.kernels.embedding({ out_TD: out, table_VD: { values: x }, ids_T: rows_T });
  return out;
}

/** dX[rows] += dOut. */
export function gatherRowsBackward(
  context: StepContext,
  args: { dX: F32; dOut: F32; rows_T: I32 },
): void {
  const { dX, dOut, rows_T } = args;
  context.kernels.embeddingBackward({ dTable_VD: dX, dOut_TD: dOut, ids_T: rows_T });
}
