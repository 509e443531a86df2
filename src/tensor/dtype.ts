/**
 * Element types of tensors. `f8e4m3` codes carry their scales in a second tensor (see `fp8.ts`).
 */
export type DType = 'f32' | 'bf16' | 'f16' | 'f8e4m3' | 'i32';

export function bytesPerElement(dtype: DType): number {
  switch (dtype) {
    case 'f32':
    case 'i32':
      return 4;
    case 'bf16':
    case 'f16':
      return 2;
    case 'f8e4m3':
      return 1;
    default:
      return dtype satisfies never;
  }
}

/** Host arrays by dtype; bf16, f16 and f8 travel as raw codes. */
export interface HostArrays {
  f32: Float32Array;
  bf16: Uint16Array;
  f16: Uint16Array;
  f8e4m3: Uint8Array;
  i32: Int32Array;
}

export type HostArray = HostArrays[DType];
