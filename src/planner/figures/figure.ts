/**
 * One published or claimed figure, and what comes of computing it again.
 *
 * A claim is kept as it was printed; beside it stands our value, computed by our own code from the
 * sources' inputs. The verdict follows from the two:
 *
 *     agrees             our value is the printed one, within what its digits say
 *     garbled            it is not, but a named slip (a unit, a factor, another model) makes it so
 *     not reproducible   no slip does, or nothing that was published gives the figure at all
 *     invented           what was published gives another figure, or speaks against the claim
 */

export type Verdict = 'agrees' | 'garbled' | 'not reproducible' | 'invented';

export const verdicts: readonly Verdict[] = ['agrees', 'garbled', 'not reproducible', 'invented'];

/** How a printed number is to be read. */
export type Reading =
  /** Our value rounds to the printed digits; without a reading this one holds. */
  | { readonly kind: 'rounded' }
  /** Digits behind were dropped, not rounded. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'atLeast' }
  | { readonly kind: 'atMost' }
  /** A figure said in words, or from inputs that were rounded themselves. */
  | { readonly kind: 'within'; readonly share: number; readonly because: string }
  /** The claim does not say which of our values it means: any between these. */
  | { readonly kind: 'between'; readonly low: number; readonly high: number };

/** One number of a claim. */
export interface Quantity {
  /** Empty where the claim has only one. */
  readonly name?: string;
  /** Its digits as printed; the unit stands apart. */
  readonly said: string;
  readonly unit: string;
  /** Our value, in that unit. */
  readonly ours: number;
  readonly reading?: Reading;
  /** What was probably done instead, and what that gives. */
  readonly slip?: { readonly name: string; readonly value: number };
}

export type Basis =
  | { readonly kind: 'numbers'; readonly quantities: readonly Quantity[] }
  /** A statement without a number to compute: the source's words decide. */
  | {
      readonly kind: 'statement';
      readonly said: string;
      readonly source: string;
      /** What was changed on the way; null where the source says the same. */
      readonly slip: string | null;
    }
  /** Nothing published gives it. */
  | {
      readonly kind: 'nowhere';
      readonly said: string;
      /** `silent`: the sources do not speak of it; `against`: they say something else. */
      readonly sources: 'silent' | 'against';
      /** The nearest figure that is true. */
      readonly closest: readonly Closest[];
    };

export interface Closest {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Decimals to show. */
  readonly digits: number;
}

export type GroupNumber = 1 | 2 | 3 | 4 | 5;

export interface Figure {
  readonly id: string;
  readonly group: GroupNumber;
  /** Where it is printed: `V3 s4.2`, `ISCA T4`, an article's letter. */
  readonly source: string;
  readonly claim: string;
  /** How our value is computed. */
  readonly formula: string;
  readonly basis: Basis;
  readonly note?: string;
}

export function numbers(...quantities: readonly Quantity[]): Basis {
  return { kind: 'numbers', quantities };
}

export function judge({ basis }: Figure): Verdict {
  switch (basis.kind) {
    case 'numbers': {
      const wrong = basis.quantities.filter((quantity) => !agrees(quantity));
      if (wrong.length === 0) return 'agrees';
      return wrong.every(isSlip) ? 'garbled' : 'not reproducible';
    }
    case 'statement':
      return basis.slip === null ? 'agrees' : 'garbled';
    case 'nowhere':
      return basis.sources === 'against' ? 'invented' : 'not reproducible';
    default:
      return basis satisfies never;
  }
}

export function agrees(quantity: Quantity): boolean {
  return matches(quantity, quantity.ours);
}

/** Whether its slip gives the printed number. */
export function isSlip(quantity: Quantity): boolean {
  return quantity.slip !== undefined && matches(quantity, quantity.slip.value);
}

function matches({ said, reading = { kind: 'rounded' } }: Quantity, value: number): boolean {
  const { value: printed, step } = readPrinted(said);
  // What binary fractions add to a value that lies exactly on the edge.
  const edge = 1e-9 * Math.max(Math.abs(printed), Math.abs(value));
  switch (reading.kind) {
    case 'rounded':
      return Math.abs(value - printed) <= step / 2 + edge;
    case 'cut':
      return value >= printed - edge && value < printed + step;
    case 'atLeast':
      return value >= printed - edge;
    case 'atMost':
      return value <= printed + edge;
    case 'within':
      return Math.abs(value - printed) <= reading.share * Math.abs(printed) + edge;
    case 'between':
      return reading.low - step / 2 <= printed + edge && printed <= reading.high + step / 2 + edge;
    default:
      return reading satisfies never;
  }
}

/** How far our value may lie from the printed one, in its unit; null where it is a bound. */
export function toleranceOf({ said, reading = { kind: 'rounded' } }: Quantity): number | null {
  const { value, step } = readPrinted(said);
  switch (reading.kind) {
    case 'rounded':
      return step / 2;
    case 'cut':
      return step;
    case 'within':
      return reading.share * Math.abs(value);
    case 'atLeast':
    case 'atMost':
    case 'between':
      return null;
    default:
      return reading satisfies never;
  }
}

export interface PrintedNumber {
  readonly value: number;
  /** One of its last digit: 1 of `2788`, 0.01 of `43.73`. */
  readonly step: number;
  readonly decimals: number;
}

export function readPrinted(said: string): PrintedNumber {
  const plain = said.replaceAll(',', '');
  const decimals = plain.split('.')[1]?.length ?? 0;
  return { value: Number(plain), step: 10 ** -decimals, decimals };
}

/** Our value with two digits more than was printed, without idle zeros. */
export function formatOurs({ said, ours }: Quantity): string {
  return formatNumber(ours, readPrinted(said).decimals + 2);
}

/** At most so many decimals, and never fewer than three digits that count. */
export function formatNumber(value: number, decimals: number): string {
  const leading = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  const enough = Math.max(0, Math.max(decimals, leading < 0 ? 2 - leading : 0));
  return value.toLocaleString('en', { maximumFractionDigits: Math.min(20, enough) });
}
