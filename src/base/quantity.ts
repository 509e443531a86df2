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

interface Unit {
  /** In which a quantity of this dimension is kept. */
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

const PREFIXES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

const SECONDS: Readonly<Record<string, number>> = { s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };

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
  const value = Number(digits?.replaceAll(/[_,]/g, ''));
  if (digits === undefined || !Number.isFinite(value)) {
    throw new MoebiusError('quantity.number', `${name} is ${JSON.stringify(text)}: no number`, {
      values: { [name]: text },
      hint: `Write a number and its unit, as in ${example}.`,
    });
  }
  const written = text.trim().startsWith('$') ? `$${unit}` : unit;
  if (written === '') throw withoutUnit(text, dimension, name);
  const found = parseUnit(written.trim());
  if (found?.dimension === dimension) {
    // A tiny unit is divided by its inverse, which is exact: 2.8 us is 2.8e-6 and nothing beside.
    return found.factor < 1 ? value / Math.round(1 / found.factor) : value * found.factor;
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
  if (unit === '%') return { factor: 0.01, dimension: 'share' };
  if (/^\$\s*(\/|per )\s*(GPU-?)?h(our)?$/i.test(unit)) {
    return { factor: 1, dimension: 'dollarsPerHour' };
  }
  const seconds = SECONDS[unit];
  if (seconds !== undefined) return { factor: seconds, dimension: 'seconds' };
  const [, prefix = '', base = ''] = /^([kKMGTP]i?)?(.+)$/.exec(unit) ?? [];
  const scale = PREFIXES[prefix] ?? 1;
  switch (base) {
    case 'B':
      return { factor: scale, dimension: 'bytes' };
    case 'B/s':
      return { factor: scale, dimension: 'bytesPerSecond' };
    // Bits: of a network. As a fraction of a byte it stays exact.
    case 'b/s':
    case 'bit/s':
    case 'bps':
      return { factor: scale / 8, dimension: 'bytesPerSecond' };
    case 'FLOPS':
    case 'FLOP/s':
      return { factor: scale, dimension: 'flopsPerSecond' };
    case 'W':
      return { factor: scale, dimension: 'watts' };
    default:
      return undefined;
  }
}

const STEPS: readonly (readonly [string, number])[] = [
  ['P', 1e15],
  ['T', 1e12],
  ['G', 1e9],
  ['M', 1e6],
  ['K', 1e3],
];

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
      return `${exact(value, 0.01)} %`;
    case 'seconds':
      return formatTime(value);
    default:
      break;
  }
  const [prefix, scale] = STEPS.find(([, each]) => Math.abs(value) >= each) ?? ['', 1];
  return `${exact(value, scale)} ${prefix}${SUFFIX[dimension]}`;
}

function formatTime(value: number): string {
  const units = Object.entries(SECONDS).filter(([unit]) => unit !== 'µs');
  const [unit, scale] = units.find(([, each]) => Math.abs(value) >= each) ?? ['ns', 1e-9];
  return `${exact(value, scale)} ${unit}`;
}

/** The shortest decimal that gives the value back when it is multiplied again. */
function exact(value: number, scale: number): string {
  const back = (text: string): number =>
    scale < 1 ? Number(text) / Math.round(1 / scale) : Number(text) * scale;
  const scaled = scale < 1 ? value * Math.round(1 / scale) : value / scale;
  for (let digits = 1; digits <= 17; digits++) {
    const text = String(Number(scaled.toPrecision(digits)));
    if (back(text) === value) return text;
  }
  return String(scaled);
}
