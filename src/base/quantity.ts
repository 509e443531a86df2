/**
 * Quantities as people write them, with their unit: `3.35 TB/s`, `400 Gb/s`, `2.8 us`, `$2/h`.
 * A number alone is refused, because the commonest slip in describing a cluster is a unit that was
 * guessed: bits for bytes, both ways for one way, a node for a GPU. b is a bit and B a byte; K, M,
 * G, T, P are powers of 1000 and Ki, Mi, Gi, Ti, Pi of 1024.
 */
import { MoebiusError } from './errors.ts';

export type Dimension =
  | 'bytes'
  | 'bytesPerSecond'
  | 'flopsPerSecond'
  | 'seconds'
  | 'watts'
  | 'dollarsPerHour'
  | 'share';

/** The value is number × 10^exponent × factor: decimal prefixes stay exact that way. */
interface Unit {
  readonly exponent: number;
  readonly factor: number;
  readonly dimension: Dimension;
}

/** How each is written, shown where a unit is missing or wrong. */
const EXAMPLES: Readonly<Record<Dimension, string>> = {
  bytes: '80 GB',
  bytesPerSecond: '400 GB/s (bytes) or 400 Gb/s (bits)',
  flopsPerSecond: '989 TFLOPS',
  seconds: '2.8 us',
  watts: '700 W',
  dollarsPerHour: '$2/h',
  share: '80 %',
};

const DECIMAL: Readonly<Record<string, number>> = { '': 0, k: 3, K: 3, M: 6, G: 9, T: 12, P: 15 };

const BINARY: Readonly<Record<string, number>> = {
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

const SECONDS: Readonly<Record<string, number>> = { s: 0, ms: -3, us: -6, µs: -6, ns: -9 };

const NUMBER = /^([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(.*)$/i;

/**
 * @param text a number and its unit
 * @param name whose value it is, for messages
 * @returns bytes, bytes/s, FLOP/s, seconds, watts, dollars/h, or a share of one
 * @throws quantity.noUnit, quantity.unit, quantity.number; each shows how to write it
 */
export function parseQuantity(text: string, dimension: Dimension, name: string): number {
  const example = EXAMPLES[dimension];
  const bare = text.trim().replace(/^\$\s*/, '');
  const [, digits, unit = ''] = NUMBER.exec(bare) ?? [];
  const plain = digits?.replaceAll(/[_,]/g, '');
  const value = Number(plain);
  if (plain === undefined || !Number.isFinite(value)) {
    throw new MoebiusError('quantity.number', `${name} is ${JSON.stringify(text)}: no number`, {
      values: { [name]: text },
      hint: `Write a number and its unit, as in ${example}.`,
    });
  }
  const written = text.trim().startsWith('$') ? `$${unit}` : unit;
  if (written === '') throw withoutUnit(text, dimension, name);
  const found = parseUnit(written.trim());
  if (found?.dimension === dimension) {
    const scaled = shifted(plain, found.exponent) * found.factor;
    if (Number.isFinite(scaled)) return scaled;
    throw new MoebiusError('quantity.number', `${name} is ${JSON.stringify(text)}: too large`, {
      values: { [name]: text },
      hint: `Write a smaller number, as in ${example}.`,
    });
  }
  const instead =
    found === undefined ? 'which is no unit here' : `which measures ${WORDS[found.dimension]}`;
  throw new MoebiusError(
    'quantity.unit',
    `${name} is ${JSON.stringify(text)}, ${instead}; it takes ${WORDS[dimension]}`,
    {
      values: { [name]: text, unit: written },
      hint: `Write it as in ${example}.`,
    },
  );
}

export function withoutUnit(value: unknown, dimension: Dimension, name: string): MoebiusError {
  return new MoebiusError('quantity.noUnit', `${name} is ${String(value)}, without a unit`, {
    values: { [name]: value },
    hint: `Write its unit too, as in ${name}: ${EXAMPLES[dimension]}.`,
  });
}

const WORDS: Readonly<Record<Dimension, string>> = {
  bytes: 'memory',
  bytesPerSecond: 'a bandwidth',
  flopsPerSecond: 'FLOP/s',
  seconds: 'a time',
  watts: 'power',
  dollarsPerHour: 'dollars an hour',
  share: 'a share',
};

function parseUnit(unit: string): Unit | undefined {
  if (unit === '%') return { exponent: -2, factor: 1, dimension: 'share' };
  if (/^\$\s*(\/|per )\s*(GPU-?)?h(our)?$/i.test(unit)) {
    return { exponent: 0, factor: 1, dimension: 'dollarsPerHour' };
  }
  if (Object.hasOwn(SECONDS, unit)) {
    return { exponent: SECONDS[unit] ?? 0, factor: 1, dimension: 'seconds' };
  }
  const [, prefix = '', base = ''] = /^([kKMGTP]i?)?(.+)$/.exec(unit) ?? [];
  const scale = { exponent: DECIMAL[prefix] ?? 0, factor: BINARY[prefix] ?? 1 };
  switch (base) {
    case 'B':
      return { ...scale, dimension: 'bytes' };
    case 'B/s':
      return { ...scale, dimension: 'bytesPerSecond' };
    case 'b/s':
    case 'bit/s':
    case 'bps':
      return { ...scale, factor: scale.factor / 8, dimension: 'bytesPerSecond' };
    case 'FLOPS':
    case 'FLOP/s':
      return { ...scale, dimension: 'flopsPerSecond' };
    case 'W':
      return { ...scale, dimension: 'watts' };
    default:
      return undefined;
  }
}

/** number × 10^exponent, rounded once, as if it had been written out. */
function shifted(digits: string, exponent: number): number {
  const [mantissa = '', own = '0'] = digits.toLowerCase().split('e');
  return Number(`${mantissa}e${Number(own) + exponent}`);
}

const SUFFIX: Readonly<Record<Dimension, string>> = {
  bytes: 'B',
  bytesPerSecond: 'B/s',
  flopsPerSecond: 'FLOPS',
  seconds: 's',
  watts: 'W',
  dollarsPerHour: '/h',
  share: '%',
};

/** As `parseQuantity` reads it, without loss; decimal prefixes. */
export function formatQuantity(value: number, dimension: Dimension): string {
  switch (dimension) {
    case 'dollarsPerHour':
      return `$${value}/h`;
    case 'share':
      return `${inUnit(value, -2)} %`;
    case 'seconds':
      return inLargest(value, ['s', 'ms', 'us', 'ns'], SECONDS);
    default:
      return inLargest(value, ['P', 'T', 'G', 'M', 'K', ''], DECIMAL) + SUFFIX[dimension];
  }
}

/** In the largest unit that leaves at least 1 before the point, else in the smallest. */
function inLargest(
  value: number,
  units: readonly string[],
  exponents: Readonly<Record<string, number>>,
): string {
  const of = (unit: string): number => exponents[unit] ?? 0;
  const fitting = units.find((unit) => Math.abs(value) >= shifted('1', of(unit)));
  const unit = fitting ?? (value === 0 ? units.find((each) => of(each) === 0) : units.at(-1)) ?? '';
  return `${inUnit(value, of(unit))} ${unit}`;
}

/** The shortest decimal of the value, its point moved: no digit changes, so nothing is lost. */
function inUnit(value: number, exponent: number): string {
  const [mantissa = '', power = '0'] = value.toExponential().split('e');
  const digits = mantissa.replace(/[-.]/g, '');
  const point = 1 + Number(power) - exponent;
  const sign = value < 0 ? '-' : '';
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  if (point >= digits.length) return `${sign}${digits.padEnd(point, '0')}`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
