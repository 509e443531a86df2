/**
 * Quantities of a plan as people read them, each with its unit: what the terminal, the HTML report
 * and the exports' comments say. Decimal prefixes for rates, as data sheets have them; binary ones
 * for memory, as `nvidia-smi` does.
 */
import { formatBytes, formatPercent, formatSeconds } from '../base/units.ts';

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** `1.979e15, 'FLOP/s'` → `1.98 PFLOP/s`. */
export function formatRate(value: number, unit: string): string {
  let [rest, index] = [value, 0];
  while (Math.abs(rest) >= 999.5 && index < PREFIXES.length - 1) {
    rest /= 1000;
    index++;
  }
  return `${significant(rest)} ${PREFIXES[index]}${unit}`;
}

/** A tick of an axis: `0.1`, `5`, `1.5 M`. */
export function formatTick(value: number): string {
  return formatRate(value, '')
    .replace(/(\.\d*?)0+(?=\D|$)/, '$1')
    .replace(/\.(?=\D|$)/, '')
    .trim();
}

/** Three digits that count: `0.0123`, `1.23`, `12.3`, `123`. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  // Rounded first: 0.9996 has one digit before the point, and not none.
  const power = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  return value.toFixed(Math.min(Math.max(0, 2 - power), 6));
}

/** A step or a phase of it: hundredths of a second, where half a percent counts. */
export function formatStep(seconds: number): string {
  // What is left when phases are taken from a step may be a rounding error.
  if (Math.abs(seconds) < 1e-9) return '0 s';
  return seconds >= 0.1 && seconds < 600 ? `${seconds.toFixed(2)} s` : formatSeconds(seconds);
}

export function formatDollars(dollars: number): string {
  const [value, suffix] =
    dollars >= 999_500
      ? [dollars / 1e6, ' M']
      : dollars >= 9_995
        ? [dollars / 1e3, ' k']
        : [dollars, ''];
  return `$${value >= 100 && suffix === '' ? value.toFixed(0) : significant(value)}${suffix}`;
}

export function formatDays(days: number | null): string {
  if (days === null) return '–';
  return days < 100 ? `${significant(days)} days` : `${Math.round(days)} days`;
}

export function formatKilowattHours(kilowattHours: number): string {
  return formatRate(kilowattHours * 1000, 'Wh');
}

/** `8.2 % slower`, `3.1 % faster`, `the same`. */
export function formatChange(seconds: number, before: number): string {
  const share = seconds / before - 1;
  if (Math.abs(share) < 5e-4) return 'the same';
  return `${formatPercent(Math.abs(share))} ${share > 0 ? 'slower' : 'faster'}`;
}

/** A signed difference: `+4.1 %`. */
export function formatDifference(value: number, reference: number): string {
  const share = value / reference - 1;
  return `${share < 0 ? '−' : '+'}${formatPercent(Math.abs(share))}`;
}

/** To either side: of a step the error bar, of a class one standard deviation. */
export function formatError(relativeError: number): string {
  return `± ${formatPercent(relativeError, relativeError < 0.0995 ? 1 : 0)}`;
}

/**
 * A derived value by the ending of its name: `scaleOut.bytesPerSecond` → `40.0 GB/s`. A name that
 * says no unit is shown as a number.
 */
export function formatDerived(name: string, value: number): string {
  const ends = (...endings: readonly string[]): boolean =>
    endings.some((ending) => name.toLowerCase().endsWith(ending));
  if (ends('bytespersecond')) return formatRate(value, 'B/s');
  if (ends('flopspersecond', 'flops', 'peakflops')) return formatRate(value, 'FLOP/s');
  if (ends('seconds', 'latency')) return formatSeconds(value);
  if (ends('bytes')) return formatBytes(value);
  if (ends('share', 'utilization', 'efficiency')) return formatPercent(value);
  if (ends('dollars')) return formatDollars(value);
  return Number.isInteger(value) ? String(value) : significant(value);
}

/** `fp8GroupedGemm` → `fp8 grouped gemm`, `scaleOut.nic` → `scale out: nic`; words stay. */
export function wordsOf(name: string): string {
  if (name.includes(' ')) return name;
  return name
    .replaceAll('.', ': ')
    .replace(/([a-z\d])([A-Z])/g, (_, before: string, capital: string) => {
      return `${before} ${capital.toLowerCase()}`;
    });
}
