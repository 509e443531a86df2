/**
 * What follows from a list of parts that are nearly always the ones of last time.
 *
 * A layer's weights come with every token, and checking and writing down two dozen tensors costs
 * more than the rest of the call. Tensors and weights do not change once made, so it is enough that
 * they are the very same objects.
 */
export class SameParts<T> {
  readonly #known = new WeakMap<object, { parts: readonly unknown[]; value: T }>();

  /**
   * @param key one of the parts: what is remembered lasts as long as it does
   * @param parts everything that `derive` looks at
   */
  of(key: object, parts: readonly unknown[], derive: () => T): T {
    const known = this.#known.get(key);
    if (known !== undefined && isSame(known.parts, parts)) return known.value;
    const value = derive();
    this.#known.set(key, { parts, value });
    return value;
  }
}

function isSame(before: readonly unknown[], now: readonly unknown[]): boolean {
  if (before.length !== now.length) return false;
  for (let i = 0; i < now.length; i++) {
    if (before[i] !== now[i]) return false;
  }
  return true;
}
