/**
 * The sentences that the checks of `shapes.ts` are written in. Each names the operation and says
 * what was expected and what came, since the tensor at fault was made far away from here.
 */
import { assert, at } from '../base/assert.ts';
import { bytesPerElement } from '../tensor/dtype.ts';
import { FP8_BLOCK } from '../tensor/fp8.ts';
import { columns, numColumns, numElements, numRows, type Tensor } from '../tensor/tensor.ts';
import type {
  AttentionKeys,
  F32,
  MatmulArgs,
  RoutingRule,
  SamplingRule,
  Weight,
} from './kernels.ts';
import { cacheColumns, type LatentWidths } from './latentCache.ts';

type Named = Readonly<Record<string, Tensor>>;

export function isFloat(tensor: Tensor): boolean {
  return tensor.dtype !== 'i32' && tensor.dtype !== 'f8e4m3';
}

export function needShape(what: string, tensor: Tensor, expected: readonly number[]): void {
  const { shape } = tensor;
  let fits = shape.length === expected.length;
  for (let i = 0; fits && i < expected.length; i++) fits = shape[i] === expected[i];
  assert(fits, fits ? '' : `${what} has shape [${shape}], not [${expected}]`);
}

/** Any dims, as long as they flatten to this many rows and columns. */
export function needMatrix(what: string, tensor: Tensor, rows: number, columns: number): void {
  const fits = numRows(tensor) === rows && numColumns(tensor) === columns;
  assert(fits, fits ? '' : `${what} has shape [${tensor.shape}], not ${rows} rows of ${columns}`);
}

export function needSameShape(operation: string, tensors: Named): void {
  let firstName = '';
  let first: Tensor | undefined;
  for (const name in tensors) {
    const tensor = tensors[name] as Tensor;
    if (first === undefined) {
      first = tensor;
      firstName = name;
    } else {
      needShape(`${operation}: ${name} (against ${firstName})`, tensor, first.shape);
    }
  }
}

/** Scales come with f8e4m3 and only with it, one per block. */
export function needWeight(what: string, { values, scales, specialCodes }: Weight): void {
  if (values.dtype !== 'f8e4m3') {
    assert(scales === undefined, `${what}: scales on a ${values.dtype} weight`);
    assert(specialCodes === undefined, `${what}: special codes on a ${values.dtype} weight`);
    return;
  }
  if (specialCodes !== undefined) {
    needShape(`${what}: special codes`, specialCodes.begins, [numRows(values) + 1]);
  }
  assert(scales !== undefined, `${what}: f8e4m3 without scales`);
  assert(values.shape.length >= 2, `${what}: an f8e4m3 weight of shape [${values.shape}]`);
  needTiles(`${what}: scales`, scales, values, '128x128');
}

/** One scale per tile of the last two dims; dims before them are kept. */
export function needTiles(
  what: string,
  scales: Tensor,
  codes: Tensor,
  tile: '1x128' | '128x128',
): void {
  const expected = [...codes.shape];
  const last = expected.length - 1;
  expected[last] = Math.ceil(at(expected, last) / FP8_BLOCK);
  if (tile === '128x128') {
    assert(last >= 1, `${what}: 128 × 128 tiles of shape [${codes.shape}]`);
    expected[last - 1] = Math.ceil(at(expected, last - 1) / FP8_BLOCK);
  }
  needShape(what, scales, expected);
}

/** Offsets from 0 to the number of rows, never falling; an empty sequence is allowed. */
export function needSequences(operation: string, sequences: readonly number[], rows: number): void {
  const covers = sequences[0] === 0 && sequences[sequences.length - 1] === rows;
  assert(covers, covers ? '' : `${operation}: sequences [${sequences}] do not cover ${rows} rows`);
  for (let i = 1; i < sequences.length; i++) {
    assert(at(sequences, i - 1) <= at(sequences, i), `${operation}: sequences fall at ${i}`);
  }
}

export function needRule(operation: string, rule: RoutingRule, numExperts: number): void {
  const { numGroups, groupsKept, expertsPerToken, groupScore } = rule;
  const groupSize = numExperts / numGroups;
  assert(
    Number.isInteger(groupSize) && groupSize >= 1,
    `${operation}: ${numExperts} experts in ${numGroups} groups`,
  );
  assert(
    groupsKept >= 1 && groupsKept <= numGroups,
    `${operation}: ${groupsKept} of ${numGroups} groups kept`,
  );
  assert(
    expertsPerToken >= 1 && expertsPerToken <= groupsKept * groupSize,
    `${operation}: top ${expertsPerToken} of ${groupsKept * groupSize} experts kept`,
  );
  assert(
    groupScore === 'max' || numGroups === 1 || groupSize >= 2,
    `${operation}: groups of one expert have no two best`,
  );
}

/** Whether tokens can be drawn by a rule: the numbers a person gives are within their ranges. */
export function isSamplingRule({ temperature, topK, topP, minP }: SamplingRule): boolean {
  return (
    Number.isFinite(temperature) &&
    temperature >= 0 &&
    Number.isInteger(topK) &&
    topK >= 0 &&
    topP > 0 &&
    topP <= 1 &&
    minP >= 0 &&
    minP <= 1
  );
}

/** A rule that can be used, and a position, for every row of logits. */
export function needSampling(args: {
  readonly logits_TV: Tensor;
  readonly rules: readonly SamplingRule[];
  readonly positions: readonly number[];
}): void {
  const { rules, positions } = args;
  const tokens = numRows(args.logits_TV);
  const fits = rules.length === tokens && positions.length === tokens;
  assert(fits, fits ? '' : `${rules.length} rules, ${positions.length} positions, ${tokens} rows`);
  for (let row = 0; row < tokens; row++) {
    assert(isSamplingRule(at(rules, row)), 'sampleTokens: a rule outside its range');
  }
}

/** Blocks of tokens as `latentCache.ts` lays them out. */
export function needCache(operation: string, cache: Tensor, widths: LatentWidths): void {
  const { dtype } = cache;
  const isLaidOut = dtype === 'f32' || dtype === 'bf16' || dtype === 'f8e4m3';
  assert(isLaidOut, isLaidOut ? '' : `${operation}: a cache of ${dtype}`);
  const [blocks = -1, blockSize = -1] = cache.shape;
  needShape(`${operation}: cache`, cache, [blocks, blockSize, cacheColumns(dtype, widths)]);
}

/** Rows of keys for every sequence that has queries, each of which sees one or more. */
export function needKeys(
  operation: string,
  queries: readonly number[],
  { sequences, before }: AttentionKeys,
  rows: number,
): void {
  needSequences(`${operation}, keys`, sequences, rows);
  const count = queries.length - 1;
  assert(
    sequences.length === queries.length && before.length === count,
    `${operation}: ${count} sequences, keys of ${sequences.length - 1}, ${before.length} places`,
  );
  for (let i = 0; i < count; i++) {
    const hasQueries = at(queries, i + 1) > at(queries, i);
    const hasKeys = at(sequences, i + 1) > at(sequences, i);
    const place = at(before, i);
    const fits = Number.isInteger(place) && place >= 0 && (hasKeys || !hasQueries);
    assert(fits, fits ? '' : `${operation}: sequence ${i} at ${place} sees no key`);
  }
}

/** A given order of sums, where the layout has it. */
export function needOrder(operation: string, { order, layout, accumulate }: MatmulArgs): void {
  const fits = order !== 'streamed' || (layout === 'nt' && accumulate !== true);
  assert(fits, fits ? '' : `${operation} ${layout}: no order ${order}`);
}

/** What attention and its backward share: N, P and V follow from the three inputs. */
export function needAttention(
  operation: string,
  tensors: {
    readonly out_THV: Tensor;
    readonly logSumExp_TH: Tensor;
    readonly q_THD: Tensor;
    readonly kv_THD: Tensor;
    readonly kPe_TP: Tensor;
  },
  numKeys?: number,
): void {
  const { out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP } = tensors;
  const [tokens = -1, heads = -1] = q_THD.shape;
  const keys = numKeys ?? tokens;
  const nope = numColumns(q_THD) - numColumns(kPe_TP);
  const value = numColumns(kv_THD) - nope;
  assert(nope >= 0 && value >= 1, `${operation}: q [${q_THD.shape}], kv [${kv_THD.shape}]`);
  needShape(`${operation}: q`, q_THD, [tokens, heads, numColumns(q_THD)]);
  needShape(`${operation}: kv`, kv_THD, [keys, heads, numColumns(kv_THD)]);
  needShape(`${operation}: kPe`, kPe_TP, [keys, numColumns(kPe_TP)]);
  needShape(`${operation}: out`, out_THV, [tokens, heads, value]);
  needShape(`${operation}: logSumExp`, logSumExp_TH, [tokens, heads]);
}

/** No output shares an element with an input, nor with a later group of outputs. */
export function needApart(operation: string, outputs: Named, inputs: Named): void {
  for (const out in outputs) {
    for (const input in inputs) {
      const overlaps = isOverlapping(outputs[out] as Tensor, inputs[input] as Tensor);
      assert(!overlaps, overlaps ? `${operation}: ${out} overlaps ${input}` : '');
    }
  }
}

/**
 * What a product's SwiGLU may be.
 * @returns where the product itself lies: out, or the gate's columns of it
 */
export function needSwigluEnd(operation: string, args: MatmulArgs): F32 {
  const { out, a, b, layout, accumulate = false, swiglu_TF, gateUp_T2F } = args;
  if (!swiglu_TF && !gateUp_T2F) return out;
  const isForward = swiglu_TF !== undefined;
  assert(!isForward || !gateUp_T2F, `${operation}: SwiGLU forward and backward at once`);
  const fits = layout === (isForward ? 'nt' : 'nn') && !accumulate;
  assert(fits, `${operation} ${layout}${accumulate ? ', adding' : ''}: SwiGLU cannot end it`);
  const [T, F] = [numRows(out), Math.floor(numColumns(out) / 2)];
  needMatrix(`${operation}: [gate | up]`, out, T, 2 * F);
  const inputs = { a, b: b.values };
  if (isForward) {
    needMatrix(`${operation}: swiglu`, swiglu_TF, T, F);
    needApart(operation, { swiglu: swiglu_TF }, { out, ...inputs });
    return out;
  }
  if (gateUp_T2F) {
    needMatrix(`${operation}: gateUp`, gateUp_T2F, T, 2 * F);
    needApart(operation, { out }, { gateUp: gateUp_T2F, ...inputs });
  }
  return columns(out, 0, F);
}

export function isSameView(a: Tensor, b: Tensor): boolean {
  return a.memory === b.memory && a.byteOffset === b.byteOffset && a.rowStride === b.rowStride;
}

/**
 * Whether two tensors share a byte. Views of columns of one matrix interleave without touching:
 * with equal row strides, or against a single row, only the distance modulo the stride counts.
 */
export function isOverlapping(a: Tensor, b: Tensor): boolean {
  if (a.memory !== b.memory || isEmpty(a) || isEmpty(b)) return false;
  const [low, high] = a.byteOffset <= b.byteOffset ? [a, b] : [b, a];
  const distance = high.byteOffset - low.byteOffset;
  if (distance >= spanBytes(low)) return false;
  const stride = low.rowStride * bytesPerElement(low.dtype);
  const isOneRow = numRows(high) === 1;
  if (!isOneRow && stride !== high.rowStride * bytesPerElement(high.dtype)) return true;
  const shift = distance % stride;
  return shift < rowBytes(low) || shift + rowBytes(high) > stride;
}

function isEmpty(tensor: Tensor): boolean {
  return numElements(tensor.shape) === 0;
}

function rowBytes(tensor: Tensor): number {
  return numColumns(tensor) * bytesPerElement(tensor.dtype);
}

function spanBytes(tensor: Tensor): number {
  const gaps = (numRows(tensor) - 1) * tensor.rowStride * bytesPerElement(tensor.dtype);
  return gaps + rowBytes(tensor);
}
