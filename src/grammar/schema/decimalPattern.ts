/**
 * Numbers between bounds, and multiples, as automata over their decimal digits.
 *
 * A number is compared with a bound while it is written: by its first digits as long as it may have
 * as many as the bound has, by their count once they end, then by the digits behind the point. The
 * remainder of a multiple is carried from digit to digit. So both are exact, whatever floating
 * point would say. Numbers that are constrained are written without an exponent, and zero without a
 * sign.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { Automaton } from '../automaton.ts';
import { automatonOfSteps, intersection } from '../automatonAlgebra.ts';
import { regularAutomaton } from '../nfa.ts';
import { choice, NOTHING, type Pattern, sequence, text } from '../pattern.ts';

export interface Bound {
  readonly value: number;
  readonly isExclusive: boolean;
}

export interface NumberLimits {
  readonly digits: 'integer' | 'decimal';
  readonly lower: Bound | null;
  readonly upper: Bound | null;
  readonly multiples: readonly number[];
  /** For refusals. */
  readonly path: string;
}

/** Remainders are states. */
const MAX_MULTIPLE = 20_000;

export function decimalPattern({ digits, lower, upper, multiples, path }: NumberLimits): Pattern {
  let automaton = regularAutomaton(boundedPattern({ digits, lower, upper }));
  for (const multiple of multiples) {
    automaton = intersection(automaton, multiplesOf(multiple, path));
  }
  return { kind: 'automaton', automaton };
}

/** A number without sign: digits before and behind the point, without zeros at the far ends. */
interface Magnitude {
  readonly whole: string;
  readonly fraction: string;
}

interface MagnitudeBound extends Magnitude {
  readonly isExclusive: boolean;
}

function magnitudeOf(value: number): Magnitude {
  const [mantissa = '', exponent = '0'] = String(Math.abs(value)).split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const shift = Number(exponent);
  const allDigits = whole + fraction;
  const point = whole.length + shift;
  const left = point > 0 ? allDigits.slice(0, point).padEnd(point, '0') : '0';
  const right = point >= 0 ? allDigits.slice(point) : '0'.repeat(-point) + allDigits;
  return { whole: left.replace(/^0+(?=\d)/, ''), fraction: right.replace(/0+$/, '') };
}

interface Sides {
  readonly digits: 'integer' | 'decimal';
  readonly lower: Bound | null;
  readonly upper: Bound | null;
}

const ZERO: MagnitudeBound = { whole: '0', fraction: '', isExclusive: true };

function boundedPattern({ digits, lower, upper }: Sides): Pattern {
  const side = (bound: Bound | null): MagnitudeBound | null =>
    bound === null ? null : { ...magnitudeOf(bound.value), isExclusive: bound.isExclusive };
  const positive =
    upper !== null && upper.value < 0
      ? NOTHING
      : between(digits, {
          least: lower !== null && lower.value >= 0 ? side(lower) : null,
          most: side(upper),
        });
  const negative =
    lower !== null && lower.value >= 0
      ? NOTHING
      : between(digits, {
          least: upper !== null && upper.value < 0 ? side(upper) : ZERO,
          most: side(lower),
        });
  return choice(positive, sequence(text('-'), negative));
}

interface Interval {
  readonly least: MagnitudeBound | null;
  readonly most: MagnitudeBound | null;
}

type Phase = 'start' | 'zero' | 'whole' | 'point' | 'fraction';

interface Place {
  readonly phase: Phase;
  /** Digits before the point, then behind it; not counted further than matters. */
  readonly count: number;
  readonly least: number;
  readonly most: number;
}

function between(digits: 'integer' | 'decimal', { least, most }: Interval): Pattern {
  const bounds = [least, most].filter((bound) => bound !== null);
  const maxWhole = Math.max(0, ...bounds.map(({ whole }) => whole.length)) + 1;
  const maxFraction = Math.max(0, ...bounds.map(({ fraction }) => fraction.length)) + 1;

  const startFraction = (place: Place): Place => ({
    phase: 'point',
    count: 0,
    least: atPoint(place, place.least, least),
    most: atPoint(place, place.most, most),
  });
  const step = (place: Place, letter: string): Place | null => {
    if (letter === '.') {
      const isDue = place.phase === 'zero' || place.phase === 'whole';
      return isDue && digits === 'decimal' ? startFraction(place) : null;
    }
    const { count } = place;
    switch (place.phase) {
      case 'zero':
        return null;
      case 'start':
      case 'whole':
        return {
          phase: place.phase === 'start' && letter === '0' ? 'zero' : 'whole',
          count: Math.min(count + 1, maxWhole),
          least: compared(place.least, letter, least?.whole[count]),
          most: compared(place.most, letter, most?.whole[count]),
        };
      case 'point':
      case 'fraction':
        return {
          phase: 'fraction',
          count: Math.min(count + 1, maxFraction),
          least: compared(place.least, letter, least?.fraction[count] ?? '0'),
          most: compared(place.most, letter, most?.fraction[count] ?? '0'),
        };
      default:
        return place.phase satisfies never;
    }
  };
  const isFinal = (place: Place): boolean => {
    if (place.phase === 'start' || place.phase === 'point') return false;
    const end = place.phase === 'fraction' ? place : startFraction(place);
    const low = atEnd(end, end.least, least);
    const high = atEnd(end, end.most, most);
    const isEnough = least === null || low > 0 || (low === 0 && !least.isExclusive);
    const isSmall = most === null || high < 0 || (high === 0 && !most.isExclusive);
    return isEnough && isSmall;
  };
  const automaton = automatonOfSteps<Place>({
    start: { phase: 'start', count: 0, least: 0, most: 0 },
    alphabet: '0123456789.',
    step,
    isFinal,
    nameOf: (place) => `${place.phase} ${place.count} ${place.least} ${place.most}`,
  });
  return { kind: 'automaton', automaton };
}

/** The order so far, or that of two digits; past the bound's digits nothing is known yet. */
function compared(order: number, letter: string, digit: string | undefined): number {
  if (order !== 0 || digit === undefined) return order;
  return letter < digit ? -1 : letter > digit ? 1 : 0;
}

/** More digits before the point make the larger number. */
function atPoint(place: Place, order: number, bound: Magnitude | null): number {
  if (bound === null) return 0;
  if (place.count !== bound.whole.length) return place.count < bound.whole.length ? -1 : 1;
  return order;
}

/** A bound that has digits left is larger: its last one is no zero. */
function atEnd(place: Place, order: number, bound: Magnitude | null): number {
  if (bound === null) return 0;
  return order === 0 && place.count < bound.fraction.length ? -1 : order;
}

interface Remainder {
  readonly phase: Phase | 'sign';
  readonly remainder: number;
  readonly numDecimals: number;
}

/** All multiples, with as many digits behind the point as the number itself has. */
function multiplesOf(multiple: number, path: string): Automaton {
  const { whole, fraction } = magnitudeOf(multiple);
  const scaled = Number(whole + fraction);
  if (!(scaled > 0 && scaled <= MAX_MULTIPLE)) {
    throw new MoebiusError(
      'grammar.unsupportedSchema',
      `${path}: multipleOf ${multiple} cannot be enforced`,
      {
        values: { path, multipleOf: multiple, maxMultipleOf: MAX_MULTIPLE },
        hint: `Use one of up to ${MAX_MULTIPLE}, counted without its point, or leave it out.`,
      },
    );
  }
  const pushed = (remainder: number, letter: string): number =>
    (remainder * 10 + Number(letter)) % scaled;
  return automatonOfSteps<Remainder>({
    start: { phase: 'start', remainder: 0, numDecimals: 0 },
    alphabet: '-0123456789.',
    step: ({ phase, remainder, numDecimals }, letter) => {
      if (letter === '-')
        return phase === 'start' ? { phase: 'sign', remainder, numDecimals } : null;
      if (letter === '.') {
        const isDue = phase === 'zero' || phase === 'whole';
        return isDue ? { phase: 'point', remainder, numDecimals } : null;
      }
      if (phase === 'zero') return null;
      const next = pushed(remainder, letter);
      if (phase === 'point' || phase === 'fraction') {
        if (numDecimals === fraction.length) return null;
        return { phase: 'fraction', remainder: next, numDecimals: numDecimals + 1 };
      }
      return {
        phase: phase !== 'whole' && letter === '0' ? 'zero' : 'whole',
        remainder: next,
        numDecimals,
      };
    },
    isFinal: ({ phase, remainder, numDecimals }) => {
      if (!['zero', 'whole', 'fraction'].includes(phase)) return false;
      let rest = remainder;
      for (let i = numDecimals; i < fraction.length; i++) rest = pushed(rest, '0');
      return rest === 0;
    },
    nameOf: ({ phase, remainder, numDecimals }) => `${phase} ${remainder} ${numDecimals}`,
  });
}
