/** Safetensors files changed by hand, as only a test would: any header, any bytes. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

export interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** The header is plain JSON, `data` what follows it; both may be changed in place. */
export interface EditedFile {
  header: Record<string, HeaderEntry>;
  data: Buffer;
}

export function editSafetensors(path: string, edit: (file: EditedFile) => void): void {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const file: EditedFile = {
    header: JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')),
    data: bytes.subarray(8 + length),
  };
  edit(file);
  const header = Buffer.from(JSON.stringify(file.header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([prefix, header, file.data]));
}

/** Takes tensors out of a file, which stays a good one: the others close up. */
export function dropTensors(path: string, dropped: RegExp): void {
  editSafetensors(path, (file) => {
    const kept = Object.entries(file.header).filter(([name]) => !dropped.test(name));
    const parts: Buffer[] = [];
    let end = 0;
    for (const [name, { data_offsets: range }] of kept) {
      if (name === '__metadata__') continue;
      parts.push(file.data.subarray(...range));
      range.splice(0, 2, end, end + (range[1] - range[0]));
      end = range[1];
    }
    file.header = Object.fromEntries(kept);
    file.data = Buffer.concat(parts);
  });
}

/** Writes one float32 into a tensor, at an index of its elements. */
export function pokeFloat(
  path: string,
  name: string,
  { index = 0, value }: { index?: number; value: number },
): void {
  editSafetensors(path, ({ header, data }) => {
    const entry = header[name];
    assert(entry !== undefined && entry.dtype === 'F32', `${name} is there in F32`);
    data.writeFloatLE(value, entry.data_offsets[0] + 4 * index);
  });
}
