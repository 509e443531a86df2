/** Element types of safetensors files, by their names there. */
import type { DType } from '../tensor/dtype.ts';

const BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type StoredDType = keyof typeof BYTES;

export const storedDTypes: readonly string[] = Object.keys(BYTES);

export function isStoredDType(name: unknown): name is StoredDType {
  return typeof name === 'string' && Object.hasOwn(BYTES, name);
}

export function bytesPerStoredElement(dtype: StoredDType): number {
  return BYTES[dtype];
}

/** The stored name of a tensor's dtype. */
export const storedNames: Readonly<Record<DType, StoredDType>> = {
  f32: 'F32',
  bf16: 'BF16',
  f16: 'F16',
  f8e4m3: 'F8_E4M3',
  i32: 'I32',
};

/** The tensor dtype of a stored one, where there is one: weights are F32, BF16, F16 or F8_E4M3. */
export function tensorDType(stored: StoredDType): DType | undefined {
  for (const [dtype, name] of Object.entries(storedNames)) {
    if (name === stored) return dtype as DType;
  }
  return undefined;
}
