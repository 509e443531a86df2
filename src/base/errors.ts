/**
 * The caller's mistakes. A `MoebiusError` carries a stable code, the values that disagree and a
 * hint in the imperative; it is handled at the doors (`cli`, later `server`) and nowhere else.
 * Our own mistakes are assertions (`assert.ts`).
 */

/** Stable, dotted: `room.reason`. Scripts match on it; the message is for people. */
export type ErrorCode = `${string}.${string}`;

export interface ErrorDetails {
  /** The values that disagree, by name, as the caller would recognise them. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** What to do about it: "Raise pp from 8 to 16, or set recompute to norm." */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class MoebiusError extends Error {
  readonly code: ErrorCode;
  readonly values: Readonly<Record<string, unknown>>;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'MoebiusError';
    this.code = code;
    this.values = details.values ?? {};
    this.hint = details.hint;
  }
}

/**
 * The known name closest to a mistyped one, or undefined when none is near (edit distance ≤ 1/3).
 */
export function nearestName(wrong: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const name of known) {
    const distance = editDistance(wrong.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitute, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
