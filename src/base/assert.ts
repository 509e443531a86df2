/** Our own mistakes: on in production, never caught, never used for a caller's input. */

export class AssertionError extends Error {
  constructor(message: string) {
    super(`assertion failed: ${message}`);
    this.name = 'AssertionError';
  }
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The element, which must exist: for typed arrays and arrays indexed within proven bounds. */
export function at<T>(values: ArrayLike<T>, index: number): T {
  const value = values[index];
  if (value === undefined) {
    throw new AssertionError(`index ${index} is outside 0..${values.length - 1}`);
  }
  return value;
}
