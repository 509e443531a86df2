/** What made-up weights may be stored as, by name. */
import { type ErrorCode, MoebiusError, nearestName } from '../base/errors.ts';
import type { WeightDType } from '../model/parameters.ts';

export const WEIGHT_DTYPES: readonly WeightDType[] = ['f32', 'bf16', 'f16', 'f8e4m3'];

/** @throws the given code, with the nearest name */
export function weightDType(name: string, code: ErrorCode): WeightDType {
  const known = WEIGHT_DTYPES.find((each) => each === name);
  if (known !== undefined) return known;
  throw new MoebiusError(code, `weights cannot be ${name}`, {
    values: { dtype: name, known: WEIGHT_DTYPES },
    hint: `Take ${nearestName(name, WEIGHT_DTYPES) ?? WEIGHT_DTYPES.join(', ')}.`,
  });
}
