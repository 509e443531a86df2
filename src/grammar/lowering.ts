/**
 * What is done to rules before they become automata: direct left recursion becomes repetition, and
 * long bounded repetitions become rules that count, so that a body is not copied a thousand times.
 */
import { MoebiusError } from '../base/errors.ts';
import type { Automaton } from './automaton.ts';
import {
  choice,
  EMPTY,
  mapParts,
  type Pattern,
  partsOf,
  type RuleSet,
  rule,
  sequence,
} from './pattern.ts';

/** A rule that is a number of calls of another. */
export interface CountedRule {
  readonly kind: 'counted';
  readonly body: string;
  readonly min: number;
  /** May be Infinity. */
  readonly max: number;
}

export interface PatternRule {
  readonly kind: 'pattern';
  readonly pattern: Pattern;
}

export type LoweredRule = PatternRule | CountedRule;

/** Up to so many copies, and so many states in all, a repetition is written out. */
const MAX_COPIES = 96;
const MAX_COPIED_STATES = 1024;
/** More are refused. */
const MAX_COUNT = 100_000;

/** All rules that the root needs, lowered; the root is first. */
export function lowerRules({ rules, root }: RuleSet): ReadonlyMap<string, LoweredRule> {
  const lowered = new Map<string, LoweredRule>();
  const pending: [string, Pattern][] = [];
  const known = new Set<string>([root]);
  const visit = (pattern: Pattern): Pattern => {
    if (pattern.kind === 'rule' && !known.has(pattern.name)) {
      known.add(pattern.name);
      pending.push([pattern.name, patternOf(rules, pattern.name)]);
    }
    if (pattern.kind !== 'repeat' || !isLong(pattern)) return mapParts(pattern, visit);
    refuseHugeCount(pattern.min);
    if (Number.isFinite(pattern.max)) refuseHugeCount(pattern.max);
    const counter = `repetition ${known.size}`;
    known.add(counter);
    let body: string;
    if (pattern.body.kind === 'rule') {
      body = pattern.body.name;
      visit(pattern.body);
    } else {
      body = `${counter}, body`;
      known.add(body);
      pending.push([body, pattern.body]);
    }
    lowered.set(counter, { kind: 'counted', body, min: pattern.min, max: pattern.max });
    return rule(counter);
  };
  lowered.set(root, { kind: 'pattern', pattern: EMPTY });
  pending.push([root, patternOf(rules, root)]);
  for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
    const [name, pattern] = entry;
    const straight = withoutLeftRecursion(name, pattern);
    lowered.set(name, { kind: 'pattern', pattern: visit(straight) });
  }
  return lowered;
}

function patternOf(rules: RuleSet['rules'], name: string): Pattern {
  const pattern = rules.get(name);
  if (pattern !== undefined) return pattern;
  throw new MoebiusError('grammar.unknownRule', `the grammar has no rule ${name}`, {
    values: { rule: name, known: [...rules.keys()] },
    hint: `Define ${name}, or correct the name.`,
  });
}

function refuseHugeCount(count: number): void {
  if (count <= MAX_COUNT) return;
  throw new MoebiusError('grammar.tooLarge', `a repetition counts to ${count}`, {
    values: { count, maxCount: MAX_COUNT },
    hint: `Lower the bound to ${MAX_COUNT}, or leave it out.`,
  });
}

function isLong({ body, min, max }: Pattern & { readonly kind: 'repeat' }): boolean {
  const copies = Number.isFinite(max) ? max : min;
  if (copies < 2) return false;
  return copies > MAX_COPIES || copies * roughSize(body) > MAX_COPIED_STATES;
}

/** About as many states as the pattern will need. */
function roughSize(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'text':
      return pattern.text.length;
    case 'class':
      return (pattern.ranges.at(-1)?.[1] ?? 0) < 0x80 ? 1 : 8;
    case 'automaton':
      return sizeOf(pattern.automaton);
    case 'repeat':
      return (
        roughSize(pattern.body) *
        Math.max(1, Number.isFinite(pattern.max) ? pattern.max : pattern.min)
      );
    case 'rule':
    case 'control':
      return 1;
    case 'sequence':
    case 'choice':
    case 'members':
      return partsOf(pattern).reduce((sum, part) => sum + roughSize(part), 0);
    default:
      return pattern satisfies never;
  }
}

function sizeOf({ numStates }: Automaton): number {
  return numStates;
}

/** `a ::= a x | y` says what `a ::= y x*` says. */
function withoutLeftRecursion(name: string, pattern: Pattern): Pattern {
  const options = optionsOf(pattern);
  const isLeft = (option: Pattern): boolean => firstPart(option, name);
  if (!options.some(isLeft)) return pattern;
  const tails = options.filter(isLeft).map(withoutFirst);
  const heads = options.filter((option) => !isLeft(option));
  return sequence(choice(...heads), {
    kind: 'repeat',
    body: choice(...tails),
    min: 0,
    max: Number.POSITIVE_INFINITY,
  });
}

function optionsOf(pattern: Pattern): readonly Pattern[] {
  return pattern.kind === 'choice' ? pattern.options.flatMap(optionsOf) : [pattern];
}

function firstPart(pattern: Pattern, name: string): boolean {
  if (pattern.kind === 'rule') return pattern.name === name;
  const first = pattern.kind === 'sequence' ? pattern.parts[0] : undefined;
  return first !== undefined && firstPart(first, name);
}

function withoutFirst(pattern: Pattern): Pattern {
  if (pattern.kind !== 'sequence') return EMPTY;
  const [first, ...rest] = pattern.parts;
  return sequence(...(first === undefined ? [] : [withoutFirst(first)]), ...rest);
}
