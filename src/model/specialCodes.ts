/**
 * Lists the subnormal and NaN codes of f8e4m3 weights, so that decoding may take all others as
 * normal: nine instructions in place of nineteen for 64 of them (`csrc/narrow.h`).
 *
 * Of normally distributed weights one code in ten thousand is special. A matrix with more than one
 * in 256 keeps being read the general way, which costs no more than its list would.
 */
import type { Kernels, SpecialCodes } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { numElements, numRows, type Tensor } from '../tensor/tensor.ts';
import { EMBEDDING } from './parameterLayout.ts';
import type { Parameter, ParameterSet } from './parameters.ts';

const CODES_PER_ENTRY = 256;
/** A small matrix may have a few more. */
const FEWEST_ENTRIES = 64;

/** To be called once all weights are there, and again whenever codes have changed. */
export function listSpecialCodes(
  set: ParameterSet,
  { kernels, arena }: { readonly kernels: Kernels; readonly arena: Arena },
): void {
  for (const parameter of set.parameters.values()) {
    listSpecialCodesOf(parameter, { kernels, arena });
  }
}

/** The same of one parameter. */
export function listSpecialCodesOf(
  { name, weight }: Parameter,
  { kernels, arena }: { readonly kernels: Kernels; readonly arena: Arena },
): void {
  // Rows of the embedding are looked up, not multiplied.
  if (weight.values.dtype !== 'f8e4m3' || name === EMBEDDING) return;
  const codes = weight.values as Tensor<'f8e4m3'>;
  if (weight.specialCodes === undefined) {
    weight.specialCodes = specialCodesOf(codes, { kernels, arena });
  } else {
    kernels.findSpecialCodes({ codes, ...weight.specialCodes });
  }
}

/** The list of a matrix, or of a stack of them, `[…, rows, columns]`. */
export function specialCodesOf(
  codes: Tensor<'f8e4m3'>,
  { kernels, arena }: { readonly kernels: Kernels; readonly arena: Arena },
): SpecialCodes {
  const most = FEWEST_ENTRIES + Math.ceil(numElements(codes.shape) / CODES_PER_ENTRY);
  const begins = arena.allocate('i32', [numRows(codes) + 1]);
  const entries = arena.allocate('i32', [most]);
  kernels.findSpecialCodes({ codes, begins, entries });
  return { begins, entries };
}
