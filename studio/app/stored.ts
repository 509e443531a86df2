/** What the page remembers between visits: short texts in localStorage, where a browser lets us. */

/** A browser may refuse storage altogether (private windows): then every visit is the first. */
export function readStored(key: string): string | undefined {
  try {
    return localStorage.getItem(`moebius.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

export function writeStored(key: string, value: string): void {
  try {
    localStorage.setItem(`moebius.${key}`, value);
  } catch {
    // Full or refused: the choice holds until the page is closed.
  }
}
