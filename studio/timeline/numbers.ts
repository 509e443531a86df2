/** Times and shares as a reader wants them. */
import { formatPercent } from '../../src/base/units.ts';

/**
 * How a timeline's times are written: in its own units, or in seconds.
 *
 * @param step of times that stand in a row: they have the digits that tell them apart
 */
export type FormatTime = (time: number, step?: number) => string;

/** Four digits at most: units of one's own have no name. */
export const formatUnits: FormatTime = (time, step) =>
  step === undefined ? String(Number(time.toPrecision(4))) : time.toFixed(digitsOf(step));

/** Seconds with the prefix that leaves the fewest zeros. */
export const formatSeconds: FormatTime = (seconds, step) => {
  const size = step === undefined ? Math.abs(seconds) : step * 10;
  const [scale, unit] =
    size >= 1 || size === 0 ? [1, 's'] : size >= 1e-3 ? [1e3, 'ms'] : [1e6, 'µs'];
  const value = seconds * scale;
  const text =
    step === undefined
      ? String(Number(value.toPrecision(4)))
      : value.toFixed(digitsOf(step * scale));
  return `${text} ${unit}`;
};

/** Behind the point, so that multiples of a step differ. */
function digitsOf(step: number): number {
  return Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}

export function formatShare(share: number | null): string {
  return share === null ? '–' : formatPercent(share);
}

/** Of tokens a second: three digits. */
export function roundRate(rate: number): number {
  return Number(rate.toPrecision(3));
}
