/**
 * Holds a checkpoint to its config before anything is loaded: every tensor is there with its shape,
 * in a dtype that can be read, and there is none besides. What is wrong comes in one error, since a
 * person mends a checkpoint in one go; what is merely left out is said, not swallowed.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { listSome } from './listSome.ts';
import {
  checkpointTensors,
  EMBEDDING,
  HEAD,
  SCALE_SUFFIX,
  type TensorSpec,
} from './parameterNames.ts';
import type { StoredTensor } from './safetensors.ts';
import type { Checkpoint } from './shards.ts';

export interface Verification {
  /** The config has MTP layers and the checkpoint has all of them. */
  readonly mtpPresent: boolean;
  /** Tensors that are there and not used. */
  readonly ignored: readonly string[];
  /** Copies of the embedding and head that are there; they equal the originals. */
  readonly copies: readonly string[];
  /** What a person should know, in sentences. */
  readonly notices: readonly string[];
}

interface Findings {
  readonly missing: string[];
  readonly extra: string[];
  readonly misshapen: string[];
}

/**
 * @throws checkpoint.mismatch with up to ten names of each kind, checkpoint.copies
 */
export async function verifyCheckpoint(
  checkpoint: Checkpoint,
  config: ModelConfig,
): Promise<Verification> {
  const { tensors } = checkpoint;
  const expected = new Map<string, TensorSpec>();
  for (const spec of checkpointTensors(config)) expected.set(spec.name, spec);
  // Some savers write a tied head all the same.
  if (config.tieWordEmbeddings && tensors.has(HEAD)) {
    const shape = [config.vocabSize, config.hiddenSize];
    expected.set(HEAD, { name: HEAD, shape, dtype: 'f32', kind: 'copy', of: EMBEDDING });
  }
  const mtpPresent = hasMtp(expected, checkpoint, config);
  const isLeftOut = (spec: TensorSpec): boolean => !mtpPresent && isMtp(spec.name, config);
  const findings: Findings = { missing: [], extra: [], misshapen: [] };
  for (const spec of expected.values()) {
    if (!isLeftOut(spec)) checkTensor(spec, tensors, findings);
  }
  const ignored: string[] = [];
  for (const [name, tensor] of tensors) {
    if (expected.has(name) && !isNeedlessScale(name, expected, tensors)) continue;
    if (name.endsWith('.rotary_emb.inv_freq')) ignored.push(name);
    else findings.extra.push(tensor.name);
  }
  report(findings, checkpoint.name, config);
  const copies = [...expected.values()].filter(
    ({ kind, name }) => kind === 'copy' && tensors.has(name),
  );
  for (const copy of copies) await compareCopy(copy, checkpoint);
  return {
    mtpPresent,
    ignored,
    copies: copies.map(({ name }) => name),
    notices: [...noticeMtp(mtpPresent, config), ...noticeBias(expected, tensors)],
  };
}

/** Whether a name belongs to an MTP layer: by the config's count, never by a number. */
function isMtp(name: string, config: ModelConfig): boolean {
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
  return layer !== undefined && Number(layer) >= config.numHiddenLayers;
}

/** Whole or nothing: one tensor of an MTP layer (copies apart) makes all of them needed. */
function hasMtp(
  expected: ReadonlyMap<string, TensorSpec>,
  { tensors }: Checkpoint,
  config: ModelConfig,
): boolean {
  return [...expected.values()].some(
    ({ kind, name }) => kind !== 'copy' && isMtp(name, config) && tensors.has(name),
  );
}

function checkTensor(
  spec: TensorSpec,
  tensors: ReadonlyMap<string, StoredTensor>,
  { missing, misshapen }: Findings,
): void {
  const tensor = tensors.get(spec.name);
  if (tensor === undefined) {
    const isNeeded =
      spec.kind === 'scale' ? isFp8(tensors.get(spec.of ?? '')) : spec.kind !== 'copy';
    if (isNeeded) missing.push(spec.name);
    return;
  }
  const isRightShape =
    tensor.shape.length === spec.shape.length &&
    tensor.shape.every((dim, index) => dim === spec.shape[index]);
  if (!isRightShape) misshapen.push(`${spec.name} is [${tensor.shape}], not [${spec.shape}]`);
  else if (!isReadable(spec, tensor)) misshapen.push(`${spec.name} is ${tensor.dtype}`);
}

/**
 * A weight may be stored in any float; FP8 only where the config gives it scales. So a checkpoint
 * that was turned into BF16 and kept its `quantization_config` still loads.
 */
function isReadable(spec: TensorSpec, { dtype }: StoredTensor): boolean {
  if (spec.kind === 'scale') return dtype === 'F32';
  if (dtype === 'F8_E4M3') return spec.dtype === 'f8e4m3';
  return dtype === 'F32' || dtype === 'BF16' || dtype === 'F16';
}

function isFp8(tensor: StoredTensor | undefined): boolean {
  return tensor?.dtype === 'F8_E4M3';
}

/** A scale beside a weight that is not FP8: which of the two is right cannot be known. */
function isNeedlessScale(
  name: string,
  expected: ReadonlyMap<string, TensorSpec>,
  tensors: ReadonlyMap<string, StoredTensor>,
): boolean {
  const of = expected.get(name)?.kind === 'scale' ? name.slice(0, -SCALE_SUFFIX.length) : undefined;
  return of !== undefined && tensors.has(of) && !isFp8(tensors.get(of));
}

function report({ missing, extra, misshapen }: Findings, name: string, config: ModelConfig): void {
  if (missing.length + extra.length + misshapen.length === 0) return;
  const parts = [
    [missing, 'missing'],
    [extra, 'not known to the config'],
    [misshapen, 'of another shape or dtype'],
  ] as const;
  const sentences = parts
    .filter(([names]) => names.length > 0)
    .map(([names, what]) => `${names.length} ${what}: ${listSome(names)}`);
  const isMtpExtra = config.numNextnPredictLayers === 0 && extra.some((n) => isMtp(n, config));
  throw new MoebiusError(
    'checkpoint.mismatch',
    `the tensors of ${name} are not those of its config: ${sentences.join('; ')}`,
    {
      values: { missing: missing.length, extra: extra.length, misshapen: misshapen.length },
      hint: isMtpExtra
        ? 'Set num_nextn_predict_layers: the checkpoint seems to have MTP layers.'
        : 'Use the config.json that came with these weights.',
    },
  );
}

async function compareCopy(copy: TensorSpec, checkpoint: Checkpoint): Promise<void> {
  const of = copy.of ?? EMBEDDING;
  const [a, b] = [checkpoint.tensors.get(copy.name), checkpoint.tensors.get(of)];
  const [left, right] = [await checkpoint.bytes(copy.name), await checkpoint.bytes(of)];
  if (a?.dtype === b?.dtype && areEqual(left, right)) return;
  throw new MoebiusError(
    'checkpoint.copies',
    `"${copy.name}" in ${checkpoint.name} differs from "${of}", of which it is a copy`,
    {
      values: { copy: copy.name, of },
      hint: 'Save the checkpoint again: one embedding and one head are shared by all modules.',
    },
  );
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const isWide = (bytes: Uint8Array): boolean => bytes.byteOffset % 4 === 0;
  if (isWide(a) && isWide(b) && a.byteLength % 4 === 0) {
    const wide = (bytes: Uint8Array): Uint32Array =>
      new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    return areSame(wide(a), wide(b));
  }
  return areSame(a, b);
}

function areSame(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function noticeMtp(mtpPresent: boolean, config: ModelConfig): readonly string[] {
  const { numNextnPredictLayers: count, numHiddenLayers: first } = config;
  if (mtpPresent || count === 0) return [];
  const which = count === 1 ? `layer ${first}` : `layers ${first} to ${first + count - 1}`;
  return [`The config has MTP (${which}), the checkpoint does not: no speculation.`];
}

function noticeBias(
  expected: ReadonlyMap<string, TensorSpec>,
  tensors: ReadonlyMap<string, StoredTensor>,
): readonly string[] {
  const narrow = [...expected.values()].filter(({ kind, name }) => {
    return kind === 'routerBias' && (tensors.get(name)?.dtype ?? 'F32') !== 'F32';
  });
  if (narrow.length === 0) return [];
  const dtype = tensors.get(narrow[0]?.name ?? '')?.dtype;
  return [`${narrow.length} router biases are ${dtype}: steps below its precision are lost.`];
}
