/**
 * CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected; RFC 3720, B.4), and the mask that record
 * files put on it so that a checksum of data which holds checksums stays a good one.
 */
const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const index = (crc ^ (bytes[i] as number)) & 0xff;
    crc = (crc >>> 8) ^ (TABLE[index] as number);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Rotated right by 15 bits, plus a constant. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
