/**
 * A deterministic automaton over bytes, and symbols beside bytes: calls of rules, control tokens.
 *
 * Bytes that no state tells apart share a class, so a row of the table is short.
 */
import { MoebiusError } from '../base/errors.ts';

export interface Automaton {
  /** State 0 is the start. */
  readonly numStates: number;
  readonly numClasses: number;
  /** The class of each byte. */
  readonly classOf: Uint8Array;
  /** `next[state * numClasses + class]`: a state, or −1. */
  readonly next: Int32Array;
  /** 1 where a text may end. */
  readonly finals: Uint8Array;
  /** By state; at most one edge for a symbol. */
  readonly symbolEdges: readonly (readonly SymbolEdge[])[];
}

export interface SymbolEdge {
  readonly symbol: number;
  readonly to: number;
}

/** Symbols: even ones call a rule, odd ones are control tokens. */
export function callSymbol(ruleIndex: number): number {
  return ruleIndex * 2;
}

export function controlSymbol(id: number): number {
  return id * 2 + 1;
}

/** A machine of more is refused: its tables would not fit beside a model. */
export const MAX_STATES = 200_000;
/** One automaton of more is refused: it is mostly a pattern whose subsets grow exponentially. */
export const MAX_SUBSETS = 20_000;

export function refuseTooLarge(numStates: number, maxStates: number = MAX_STATES): void {
  if (numStates <= maxStates) return;
  throw new MoebiusError(
    'grammar.tooLarge',
    `the grammar needs an automaton of more than ${maxStates} states`,
    {
      values: { maxStates },
      hint: 'Lower its bounds (maxLength, maxItems, {m,n}), or anchor its patterns with ^ and $.',
    },
  );
}

/** Whether the automaton matches the whole of these bytes; symbols are never taken. */
export function matches(automaton: Automaton, bytes: Uint8Array): boolean {
  let state = 0;
  for (const byte of bytes) {
    const column = automaton.classOf[byte] as number;
    state = automaton.next[state * automaton.numClasses + column] as number;
    if (state < 0) return false;
  }
  return automaton.finals[state] === 1;
}

export function isEmpty(automaton: Automaton): boolean {
  return !automaton.finals.includes(1);
}

/** Leaves out states that nothing reaches, and those from which no end is reached; 0 stays. */
export function trimmed(automaton: Automaton): Automaton {
  const { numStates, numClasses, next, finals, symbolEdges } = automaton;
  const sources: number[][] = Array.from({ length: numStates }, () => []);
  const isReached = new Uint8Array(numStates);
  const queue = [0];
  isReached[0] = 1;
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    const visit = (to: number): void => {
      (sources[to] as number[]).push(state as number);
      if (isReached[to] === 0) queue.push(to);
      isReached[to] = 1;
    };
    for (let c = 0, last = -1; c < numClasses; c++) {
      const to = next[state * numClasses + c] as number;
      if (to >= 0 && to !== last) visit(to);
      last = to;
    }
    for (const { to } of symbolEdges[state] ?? []) visit(to);
  }
  const isLive = new Uint8Array(numStates);
  for (let state = 0; state < numStates; state++) {
    if (finals[state] === 1 && isReached[state] === 1) {
      queue.push(state);
      isLive[state] = 1;
    }
  }
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (const source of sources[state] as number[]) {
      if (isLive[source] === 0) queue.push(source);
      isLive[source] = 1;
    }
  }
  const newIds = new Int32Array(numStates).fill(-1);
  newIds[0] = 0;
  let count = 1;
  for (let state = 1; state < numStates; state++) {
    if (isLive[state] === 1) newIds[state] = count++;
  }
  return renumbered(automaton, newIds, count);
}

/**
 * States with one new id become one (they must be equivalent); those with −1 are left out, with the
 * edges to them.
 */
export function renumbered(automaton: Automaton, newIds: Int32Array, count: number): Automaton {
  const { numStates, numClasses, classOf, next, finals, symbolEdges } = automaton;
  const newNext = new Int32Array(count * numClasses).fill(-1);
  const newFinals = new Uint8Array(count);
  const newEdges: SymbolEdge[][] = Array.from({ length: count }, () => []);
  const isDone = new Uint8Array(count);
  for (let state = 0; state < numStates; state++) {
    const id = newIds[state] as number;
    if (id < 0 || isDone[id] === 1) continue;
    isDone[id] = 1;
    newFinals[id] = finals[state] as number;
    for (let c = 0; c < numClasses; c++) {
      const to = next[state * numClasses + c] as number;
      if (to >= 0) newNext[id * numClasses + c] = newIds[to] as number;
    }
    for (const { symbol, to } of symbolEdges[state] ?? []) {
      const newTo = newIds[to] as number;
      if (newTo >= 0) (newEdges[id] as SymbolEdge[]).push({ symbol, to: newTo });
    }
  }
  return {
    numStates: count,
    numClasses,
    classOf,
    next: newNext,
    finals: newFinals,
    symbolEdges: newEdges,
  };
}
