/**
 * A checkpoint's tensors over its files: one `model.safetensors`, or shards of it with
 * `model.safetensors.index.json`, as the Hub has them. The index and the shards must say the same:
 * a tensor in one and not in the other is an error, and so is a file name that could lead anywhere
 * but to a shard in the folder itself.
 */
import type { ByteFolder, ByteSink } from '../base/byteSource.ts';
import { MoebiusError } from '../base/errors.ts';
import { listSome } from './listSome.ts';
import {
  openSafetensors,
  readTensorBytes,
  type SafetensorsFile,
  type StoredTensor,
  type TensorToWrite,
  tensorByteLength,
  writeSafetensors,
} from './safetensors.ts';
import { INDEX_FILE, shardIndexText } from './shardIndex.ts';
import { parseStrictJson } from './strictJson.ts';

const SINGLE = 'model.safetensors';
const MAX_INDEX_BYTES = 100_000_000;
/** A plain name: no separator, no drive, no "..", nothing hidden. */
const SHARD_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$/;

export interface Checkpoint {
  /** The folder, for messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The bytes of a tensor of this checkpoint: the file's own where it is mapped, or a copy. */
  bytes(name: string): Promise<Uint8Array>;
  /** Where they lie, for those who read files in a way of their own. */
  placeOf(name: string): TensorPlace;
}

export interface TensorPlace {
  /** The name of its source: of a file, the path. */
  readonly file: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * Opens every shard and checks every header; no data is read.
 *
 * @throws checkpoint.missing, checkpoint.ambiguous, checkpoint.index, checkpoint.unsafePath,
 *   checkpoint.missingShard, checkpoint.shards, and those of `openSafetensors`
 */
export async function openCheckpoint(folder: ByteFolder): Promise<Checkpoint> {
  const files = await folder.list();
  const [hasSingle, hasIndex] = [files.includes(SINGLE), files.includes(INDEX_FILE)];
  if (hasSingle && hasIndex) {
    throw new MoebiusError(
      'checkpoint.ambiguous',
      `${folder.name} has ${SINGLE} and ${INDEX_FILE}`,
      {
        values: { files: [SINGLE, INDEX_FILE] },
        hint: 'Remove the one that is not the model: a left-over of another save.',
      },
    );
  }
  if (hasSingle) return asCheckpoint(folder.name, [await openFile(folder, SINGLE)]);
  if (!hasIndex) throw noCheckpoint(folder.name, files);
  const shardOf = await readIndex(folder);
  const shardNames = [...new Set(shardOf.values())].sort();
  const missing = shardNames.filter((shard) => !files.includes(shard));
  if (missing.length > 0) {
    throw new MoebiusError(
      'checkpoint.missingShard',
      `${folder.name} lacks ${missing.length} of ${shardNames.length} shards: ${listSome(missing)}`,
      { values: { missing }, hint: 'Download the missing files; the index lists them all.' },
    );
  }
  const shards: SafetensorsFile[] = [];
  for (const shard of shardNames) shards.push(await openFile(folder, shard));
  compareWithIndex(folder.name, shardOf, new Map(shardNames.map((name, i) => [name, shards[i]])));
  return asCheckpoint(folder.name, shards);
}

export interface WriteOptions {
  /** Where a file of the folder goes. */
  readonly create: (file: string) => Promise<ByteSink>;
  /** A larger tensor gets a shard of its own. */
  readonly maxShardBytes?: number;
}

/** What the published checkpoints keep to: file systems and resumed downloads like it. */
const DEFAULT_SHARD_BYTES = 5_000_000_000;

/**
 * Writes a checkpoint as the Hub wants it: one file if it fits, else shards in the given order and
 * an index, last.
 *
 * @returns the files written
 */
export async function writeCheckpoint(
  tensors: readonly TensorToWrite[],
  { create, maxShardBytes = DEFAULT_SHARD_BYTES }: WriteOptions,
): Promise<readonly string[]> {
  const shards = splitIntoShards(tensors, maxShardBytes);
  const files = shards.map((_, index) => shardName(index, shards.length));
  for (const [index, shard] of shards.entries()) {
    // Transformers looks for this before it reads anything else.
    await writeSafetensors(await create(files[index] ?? SINGLE), shard, { format: 'pt' });
  }
  if (shards.length === 1) return files;
  const text = shardIndexText(new Map(shards.map((shard, i) => [files[i] ?? SINGLE, shard])));
  const sink = await create(INDEX_FILE);
  await sink.write(new TextEncoder().encode(text));
  await sink.close();
  return [...files, INDEX_FILE];
}

function shardName(index: number, count: number): string {
  if (count === 1) return SINGLE;
  const five = (value: number): string => String(value).padStart(5, '0');
  return `model-${five(index + 1)}-of-${five(count)}.safetensors`;
}

function splitIntoShards(
  tensors: readonly TensorToWrite[],
  maxBytes: number,
): readonly (readonly TensorToWrite[])[] {
  const shards: TensorToWrite[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const more = tensorByteLength(tensor);
    if (bytes > 0 && bytes + more > maxBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(tensor);
    bytes += more;
  }
  return shards;
}

async function openFile(folder: ByteFolder, file: string): Promise<SafetensorsFile> {
  return openSafetensors(await folder.open(file));
}

function asCheckpoint(name: string, files: readonly SafetensorsFile[]): Checkpoint {
  const places = new Map(
    files.flatMap((file) =>
      [...file.tensors.values()].map((tensor) => [tensor.name, { file, tensor }]),
    ),
  );
  const placed = (tensorName: string): { file: SafetensorsFile; tensor: StoredTensor } => {
    const place = places.get(tensorName);
    if (place !== undefined) return place;
    throw noTensor(name, tensorName);
  };
  return {
    name,
    tensors: new Map([...places].map(([tensorName, { tensor }]) => [tensorName, tensor])),
    bytes: async (tensorName) => {
      const { file, tensor } = placed(tensorName);
      return readTensorBytes(file.source, tensor);
    },
    placeOf: (tensorName) => {
      const { file, tensor } = placed(tensorName);
      const { byteOffset, byteLength } = tensor;
      return { file: file.source.name, byteOffset, byteLength };
    },
  };
}

export function noTensor(checkpoint: string, name: string): MoebiusError {
  return new MoebiusError('checkpoint.noTensor', `${checkpoint} has no tensor "${name}"`, {
    values: { name },
    hint: 'Ask for a name that `inspect` lists.',
  });
}

/** @returns which shard each tensor is in */
async function readIndex(folder: ByteFolder): Promise<ReadonlyMap<string, string>> {
  const source = await folder.open(INDEX_FILE);
  if (source.byteLength > MAX_INDEX_BYTES) {
    throw new MoebiusError('checkpoint.index', `${source.name} has ${source.byteLength} bytes`, {
      values: { byteLength: source.byteLength, limit: MAX_INDEX_BYTES },
      hint: 'Download the index again; V3’s own has under 10 MB.',
    });
  }
  const json = parseStrictJson(await source.read(0, source.byteLength), source.name);
  const map = isObject(json) ? json.weight_map : undefined;
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new MoebiusError('checkpoint.index', `${source.name} has no weight_map`, {
      hint: 'Download the index again; it maps tensor names to shards.',
    });
  }
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file === 'string' && SHARD_NAME.test(file) && !file.includes('..')) continue;
    throw new MoebiusError(
      'checkpoint.unsafePath',
      `${source.name} puts "${tensor}" into ${JSON.stringify(file)}, no shard of the folder`,
      {
        values: { tensor, file },
        hint: 'Trust the file only if you know its source; shards have plain names.',
      },
    );
  }
  return new Map(Object.entries(map as Record<string, string>));
}

function compareWithIndex(
  folder: string,
  shardOf: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsFile | undefined>,
): void {
  const absent = [...shardOf].filter(([name, shard]) => !shards.get(shard)?.tensors.has(name));
  const unlisted = [...shards].flatMap(([shard, file]) =>
    [...(file?.tensors.keys() ?? [])].filter((name) => shardOf.get(name) !== shard),
  );
  if (absent.length + unlisted.length === 0) return;
  const absentNames = absent.map(([name, shard]) => `${name} (${shard})`);
  const parts = [
    absent.length > 0 ? `${absent.length} listed but absent: ${listSome(absentNames)}` : '',
    unlisted.length > 0 ? `${unlisted.length} present but not listed: ${listSome(unlisted)}` : '',
  ];
  throw new MoebiusError(
    'checkpoint.shards',
    `the index and the shards of ${folder} disagree: ${parts.filter(Boolean).join('; ')}`,
    {
      values: { absent: absent.length, unlisted: unlisted.length },
      hint: 'Download index and shards together; they are of different saves.',
    },
  );
}

function noCheckpoint(name: string, files: readonly string[]): MoebiusError {
  const others = files.filter((file) => /\.(safetensors|bin|pth?|gguf)$/.test(file));
  return new MoebiusError('checkpoint.missing', `${name} has neither ${SINGLE} nor ${INDEX_FILE}`, {
    values: { files: others },
    hint: others.some((file) => file.endsWith('.safetensors'))
      ? `Download ${INDEX_FILE} too: it says which shards there are.`
      : others.length > 0
        ? `Convert ${listSome(others)} to safetensors first.`
        : 'Give the folder that holds the weights.',
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
