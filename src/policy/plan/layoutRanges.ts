/**
 * A layout of which only some is said: `pp16,ep8-64,zero1`. Named factors are fixed, a range leaves
 * what lies in it to the search, and what is not named is searched altogether.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ParallelPlan } from '../../config/parallelPlan.ts';

export type LayoutFactor = 'dp' | 'pp' | 'ep' | 'tp';

export interface FactorRange {
  readonly min: number;
  readonly max: number;
}

export type LayoutRanges = Partial<Readonly<Record<LayoutFactor, FactorRange>>>;

export interface PartialLayout {
  readonly layout: Partial<ParallelPlan>;
  readonly ranges: LayoutRanges;
}

const NAMES = ['dp', 'pp', 'ep', 'tp', 'zero'];
const WORD = /^([a-z]+?)(\d+)(?:-(\d+))?$/;

/** @throws plan.layout for an unknown word, a repetition, a range that is none */
export function parsePartialLayout(text: string): PartialLayout {
  const layout: Partial<Record<keyof ParallelPlan, number>> = {};
  const ranges: Partial<Record<LayoutFactor, FactorRange>> = {};
  const words = text.split(',').map((word) => word.trim().toLowerCase());
  for (const word of words.filter((each) => each !== '')) {
    const [, name = word.replace(/[\d-]+$/, ''), low = '', high] = WORD.exec(word) ?? [];
    const refuse = (message: string, hint: string): MoebiusError =>
      new MoebiusError('plan.layout', message, { values: { layout: text, word }, hint });
    if (!NAMES.includes(name) || low === '') {
      const near = nearestName(name, NAMES);
      const like = 'Write it as in pp16,ep8-64,zero1.';
      throw refuse(
        `"${word}" is no part of a layout`,
        near ? `Did you mean ${near}? ${like}` : like,
      );
    }
    const key = name === 'zero' ? 'zeroStage' : (name as LayoutFactor);
    if (key in layout || key in ranges) {
      throw refuse(`"${name}" is given twice`, 'Name each of dp, pp, ep, tp and zero once.');
    }
    const [min, max] = [Number(low), Number(high ?? low)];
    if (key === 'zeroStage') {
      if (high !== undefined || min > 3) {
        throw refuse(`zero is "${word.slice(4)}"`, 'ZeRO has stages 0, 1, 2 and 3: name one.');
      }
    } else if (min < 1 || max < min) {
      throw refuse(`${name} goes from ${min} to ${max}`, 'Give the smaller number first, from 1.');
    }
    if (min === max || key === 'zeroStage') layout[key] = min;
    else ranges[key] = { min, max };
  }
  return { layout: layout as Partial<ParallelPlan>, ranges };
}

export function isWithin(value: number, range: FactorRange | undefined): boolean {
  return range === undefined || (value >= range.min && value <= range.max);
}
