/** A refusal as data: what a worker's message carries and the page shows. */
import { MoebiusError } from '../../src/base/errors.ts';

/** A `MoebiusError` without its class, which no message carries. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** @throws again what is our own mistake and not the caller's */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof MoebiusError)) throw error;
  const { code, message, hint } = error;
  return { code, message, hint: hint ?? null };
}
