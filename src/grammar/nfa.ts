/**
 * From a pattern to an automaton: Thompson's construction over bytes, then the construction of
 * subsets. Calls of rules and control tokens are symbols of the alphabet like bytes.
 */
import { assert } from '../base/assert.ts';
import {
  type Automaton,
  callSymbol,
  controlSymbol,
  MAX_SUBSETS,
  refuseTooLarge,
  type SymbolEdge,
} from './automaton.ts';
import { spendEffort } from './effort.ts';
import { minimised } from './minimise.ts';
import type { CodeRange, MembersPattern, Pattern } from './pattern.ts';
import { type ByteRange, utf8Ranges } from './utf8Ranges.ts';

/** A rule as its callers see it. */
export interface Callee {
  readonly index: number;
  /** Whether it matches the empty text: then a call may be passed by. */
  readonly isNullable: boolean;
}

/** The smallest automaton of a pattern. */
export function automatonOf(pattern: Pattern, callees: ReadonlyMap<string, Callee>): Automaton {
  const nfa = new Nfa(callees);
  const start = nfa.addState();
  const end = nfa.addState();
  nfa.emit(pattern, start, end);
  return minimised(determinised(nfa, start, end));
}

/** The smallest automaton of a pattern without rules. */
export function regularAutomaton(pattern: Pattern): Automaton {
  return automatonOf(pattern, new Map());
}

const utf8 = new TextEncoder();

class Nfa {
  /** Per state: first byte, last byte, target, … */
  readonly byteEdges: number[][] = [];
  /** Per state: symbol, target, … */
  readonly symbolEdges: number[][] = [];
  readonly epsilons: number[][] = [];
  readonly #callees: ReadonlyMap<string, Callee>;

  constructor(callees: ReadonlyMap<string, Callee>) {
    this.#callees = callees;
  }

  addState(): number {
    refuseTooLarge(this.byteEdges.length);
    spendEffort(1);
    this.byteEdges.push([]);
    this.symbolEdges.push([]);
    return this.epsilons.push([]) - 1;
  }

  /** Adds paths that spell the pattern; edges leave `from` and enter `to`, never the reverse. */
  emit(pattern: Pattern, from: number, to: number): void {
    switch (pattern.kind) {
      case 'text':
        this.#emitBytes(utf8.encode(pattern.text), from, to);
        return;
      case 'class':
        this.#emitClass(pattern.ranges, from, to);
        return;
      case 'sequence':
        this.#emitSequence(pattern.parts, from, to);
        return;
      case 'choice':
        for (const option of pattern.options) this.emit(option, from, to);
        return;
      case 'repeat':
        this.#emitRepeat(pattern, from, to);
        return;
      case 'rule': {
        const callee = this.#callees.get(pattern.name);
        assert(callee !== undefined, `no rule ${pattern.name}`);
        if (callee.isNullable) this.#join(from, to);
        this.#addSymbol(from, callSymbol(callee.index), to);
        return;
      }
      case 'control':
        this.#addSymbol(from, controlSymbol(pattern.id), to);
        return;
      case 'members':
        this.#emitMembers(pattern, from, to);
        return;
      case 'automaton':
        this.#emitAutomaton(pattern.automaton, from, to);
        return;
      default:
        pattern satisfies never;
    }
  }

  /** Equal ends of characters share their states. */
  #emitClass(ranges: readonly CodeRange[], from: number, to: number): void {
    const ends = new Map<string, number>();
    for (const bytes of ranges.flatMap(utf8Ranges)) {
      let target = to;
      for (const [first, last] of bytes.slice(1).reverse()) {
        const key = `${first} ${last} ${target}`;
        let state = ends.get(key);
        if (state === undefined) {
          state = this.addState();
          ends.set(key, state);
          (this.byteEdges[state] as number[]).push(first, last, target);
        }
        target = state;
      }
      const [first, last] = bytes[0] as ByteRange;
      (this.byteEdges[from] as number[]).push(first, last, target);
    }
  }

  #join(from: number, to: number): void {
    (this.epsilons[from] as number[]).push(to);
  }

  #addSymbol(from: number, symbol: number, to: number): void {
    (this.symbolEdges[from] as number[]).push(symbol, to);
  }

  #emitBytes(bytes: Uint8Array, from: number, to: number): void {
    if (bytes.length === 0) this.#join(from, to);
    let state = from;
    for (const [i, byte] of bytes.entries()) {
      const target = i === bytes.length - 1 ? to : this.addState();
      (this.byteEdges[state] as number[]).push(byte, byte, target);
      state = target;
    }
  }

  #emitSequence(parts: readonly Pattern[], from: number, to: number): void {
    if (parts.length === 0) this.#join(from, to);
    let state = from;
    for (const [i, part] of parts.entries()) {
      const target = i === parts.length - 1 ? to : this.addState();
      this.emit(part, state, target);
      state = target;
    }
  }

  #emitRepeat(
    { body, min, max }: { readonly body: Pattern; readonly min: number; readonly max: number },
    from: number,
    to: number,
  ): void {
    let state = this.addState();
    this.#join(from, state);
    for (let i = 0; i < min; i++) state = this.#emitOnce(body, state);
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.addState();
      this.#join(state, loop);
      this.emit(body, loop, loop);
      state = loop;
    } else {
      for (let i = min; i < max; i++) {
        this.#join(state, to);
        state = this.#emitOnce(body, state);
      }
    }
    this.#join(state, to);
  }

  #emitOnce(body: Pattern, from: number): number {
    const to = this.addState();
    this.emit(body, from, to);
    return to;
  }

  /** Two rows of states: nothing came yet, and something did, after which a separator is due. */
  #emitMembers({ members, separator, extra }: MembersPattern, from: number, to: number): void {
    let none = this.addState();
    this.#join(from, none);
    let some = this.addState();
    for (const { pattern, isOptional } of members) {
      const begin = this.addState();
      const nextNone = this.addState();
      const nextSome = this.addState();
      this.#join(none, begin);
      this.emit(separator, some, begin);
      this.emit(pattern, begin, nextSome);
      if (isOptional) {
        this.#join(none, nextNone);
        this.#join(some, nextSome);
      }
      [none, some] = [nextNone, nextSome];
    }
    if (extra !== null) {
      const begin = this.addState();
      this.#join(none, begin);
      this.emit(separator, some, begin);
      this.emit(extra, begin, some);
    }
    this.#join(some, to);
  }

  #emitAutomaton(automaton: Automaton, from: number, to: number): void {
    const { numStates, numClasses, classOf, next, finals, symbolEdges } = automaton;
    const ids = Array.from({ length: numStates }, () => this.addState());
    this.#join(from, ids[0] as number);
    for (const [state, id] of ids.entries()) {
      let first = 0;
      for (let byte = 0; byte < 256; byte++) {
        const row = state * numClasses;
        const target = next[row + (classOf[byte] as number)] as number;
        const isRun = byte < 255 && next[row + (classOf[byte + 1] as number)] === target;
        if (isRun) continue;
        if (target >= 0) {
          (this.byteEdges[id] as number[]).push(first, byte, ids[target] as number);
        }
        first = byte + 1;
      }
      for (const edge of symbolEdges[state] ?? []) {
        this.#addSymbol(id, edge.symbol, ids[edge.to] as number);
      }
      if (finals[state] === 1) this.#join(id, to);
    }
  }
}

/** Bytes that no edge tells apart are one class. */
function byteClasses(nfa: Nfa): { readonly classOf: Uint8Array; readonly numClasses: number } {
  const begins = new Uint8Array(257);
  for (const edges of nfa.byteEdges) {
    for (let i = 0; i < edges.length; i += 3) {
      begins[edges[i] as number] = 1;
      begins[(edges[i + 1] as number) + 1] = 1;
    }
  }
  const classOf = new Uint8Array(256);
  let current = 0;
  for (let byte = 1; byte < 256; byte++) {
    current += begins[byte] as number;
    classOf[byte] = current;
  }
  return { classOf, numClasses: current + 1 };
}

/** All subsets together; more take seconds. */
const MAX_ELEMENTS = 400_000;

function determinised(nfa: Nfa, start: number, end: number): Automaton {
  const { classOf, numClasses } = byteClasses(nfa);
  const closures = new Closures(nfa, end);
  const ids = new Map<string, number>();
  const subsets: (readonly number[])[] = [];
  const idOf = (targets: readonly number[]): number => {
    const subset = closures.union(targets);
    const key = subset.join();
    let id = ids.get(key);
    if (id === undefined) {
      id = subsets.push(subset) - 1;
      numElements += subset.length;
      if (numElements > MAX_ELEMENTS) refuseTooLarge(MAX_SUBSETS + 1, MAX_SUBSETS);
      refuseTooLarge(id, MAX_SUBSETS);
      spendEffort(subset.length + numClasses);
      ids.set(key, id);
    }
    return id;
  };
  let numElements = 0;
  idOf([start]);
  const rows: Int32Array[] = [];
  const symbolEdges: SymbolEdge[][] = [];
  const finals: number[] = [];
  for (let id = 0; id < subsets.length; id++) {
    const subset = subsets[id] as readonly number[];
    const targets: (number[] | undefined)[] = [];
    const symbols = new Map<number, number[]>();
    for (const state of subset) {
      const bytes = nfa.byteEdges[state] as number[];
      for (let i = 0; i < bytes.length; i += 3) {
        const last = classOf[bytes[i + 1] as number] as number;
        for (let c = classOf[bytes[i] as number] as number; c <= last; c++) {
          const list = targets[c];
          if (list === undefined) targets[c] = [bytes[i + 2] as number];
          else list.push(bytes[i + 2] as number);
        }
      }
      const edges = nfa.symbolEdges[state] as number[];
      for (let i = 0; i < edges.length; i += 2) {
        const list = symbols.get(edges[i] as number) ?? [];
        list.push(edges[i + 1] as number);
        symbols.set(edges[i] as number, list);
      }
    }
    rows.push(rowOf(targets, numClasses, idOf));
    symbolEdges.push([...symbols].map(([symbol, list]) => ({ symbol, to: idOf(list) })));
    finals.push(subset.includes(end) ? 1 : 0);
  }
  const next = new Int32Array(subsets.length * numClasses);
  for (const [id, row] of rows.entries()) next.set(row, id * numClasses);
  return {
    numStates: subsets.length,
    numClasses,
    classOf,
    next,
    finals: Uint8Array.from(finals),
    symbolEdges,
  };
}

/** Neighbouring classes mostly have the same targets: those are looked up once. */
function rowOf(
  targets: readonly (readonly number[] | undefined)[],
  numClasses: number,
  idOf: (targets: readonly number[]) => number,
): Int32Array {
  const row = new Int32Array(numClasses).fill(-1);
  let previous: readonly number[] | undefined;
  let previousId = -1;
  for (let c = 0; c < targets.length; c++) {
    const list = targets[c];
    if (list === undefined) continue;
    if (previous === undefined || !isSame(list, previous)) {
      previous = list;
      previousId = idOf(list);
    }
    row[c] = previousId;
  }
  return row;
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** States that are reached without a byte; only those that do something are kept. */
class Closures {
  readonly #nfa: Nfa;
  readonly #end: number;
  readonly #stamps: Int32Array;
  readonly #single: (readonly number[] | undefined)[] = [];
  #stamp = 0;

  constructor(nfa: Nfa, end: number) {
    this.#nfa = nfa;
    this.#end = end;
    this.#stamps = new Int32Array(nfa.epsilons.length);
  }

  /** Sorted. */
  union(states: readonly number[]): readonly number[] {
    if (states.length === 1) {
      const state = states[0] as number;
      this.#single[state] ??= this.#closure(states);
      return this.#single[state];
    }
    return this.#closure(states);
  }

  #closure(states: readonly number[]): readonly number[] {
    const { epsilons, byteEdges, symbolEdges } = this.#nfa;
    const stamp = ++this.#stamp;
    const stack = [...states];
    const kept: number[] = [];
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (this.#stamps[state] === stamp) continue;
      this.#stamps[state] = stamp;
      const isUseful =
        state === this.#end ||
        (byteEdges[state] as number[]).length > 0 ||
        (symbolEdges[state] as number[]).length > 0;
      if (isUseful) kept.push(state);
      for (const target of epsilons[state] as number[]) stack.push(target);
    }
    return kept.sort((a, b) => a - b);
  }
}
