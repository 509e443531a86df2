/**
 * What regular languages allow beside the regular operations: both of two, one without the other,
 * and automata written down as a step function.
 */
import { type Automaton, isEmpty, MAX_SUBSETS, refuseTooLarge } from './automaton.ts';
import { spendEffort } from './effort.ts';
import { minimised } from './minimise.ts';

/** Texts of both. */
export function intersection(a: Automaton, b: Automaton): Automaton {
  return product(a, b, 'both');
}

/** Texts of the first that are none of the second. */
export function difference(a: Automaton, b: Automaton): Automaton {
  return product(a, b, 'first');
}

export function isDisjoint(a: Automaton, b: Automaton): boolean {
  return isEmpty(intersection(a, b));
}

/** A machine over characters of one byte, by its states' names. */
export interface StepMachine<State> {
  readonly start: State;
  /** The characters that may ever come. */
  readonly alphabet: string;
  step(state: State, character: string): State | null;
  isFinal(state: State): boolean;
  /** Equal for states that are the same. */
  nameOf(state: State): string;
}

export function automatonOfSteps<State>(machine: StepMachine<State>): Automaton {
  const letters = [...machine.alphabet];
  const classOf = new Uint8Array(256);
  for (const [i, letter] of letters.entries()) classOf[letter.charCodeAt(0)] = i + 1;
  const numClasses = letters.length + 1;
  const ids = new Map<string, number>();
  const states: State[] = [];
  const idOf = (state: State): number => {
    const name = machine.nameOf(state);
    let id = ids.get(name);
    if (id === undefined) {
      id = states.push(state) - 1;
      refuseTooLarge(id, MAX_SUBSETS);
      spendEffort(numClasses);
      ids.set(name, id);
    }
    return id;
  };
  idOf(machine.start);
  const next: number[] = [];
  for (let id = 0; id < states.length; id++) {
    const state = states[id] as State;
    next.push(-1);
    for (const letter of letters) {
      const to = machine.step(state, letter);
      next.push(to === null ? -1 : idOf(to));
    }
  }
  return minimised({
    numStates: states.length,
    numClasses,
    classOf,
    next: Int32Array.from(next),
    finals: Uint8Array.from(states, (state) => (machine.isFinal(state) ? 1 : 0)),
    symbolEdges: states.map(() => []),
  });
}

/** Pairs of states; −1 in place of the second's where its text has failed. Bytes only. */
function product(a: Automaton, b: Automaton, keep: 'both' | 'first'): Automaton {
  const { classOf, firstOf, secondOf } = jointClasses(a, b);
  const numClasses = firstOf.length;
  const ids = new Map<number, number>();
  const pairs: (readonly [number, number])[] = [];
  const idOf = (first: number, second: number): number => {
    const key = first * (b.numStates + 1) + second + 1;
    let id = ids.get(key);
    if (id === undefined) {
      id = pairs.push([first, second]) - 1;
      refuseTooLarge(id, MAX_SUBSETS);
      spendEffort(numClasses);
      ids.set(key, id);
    }
    return id;
  };
  idOf(0, 0);
  const next: number[] = [];
  const finals: number[] = [];
  for (let id = 0; id < pairs.length; id++) {
    const [first, second] = pairs[id] as readonly [number, number];
    for (let c = 0; c < numClasses; c++) {
      const x = a.next[first * a.numClasses + (firstOf[c] as number)] as number;
      const y =
        second < 0 ? -1 : (b.next[second * b.numClasses + (secondOf[c] as number)] as number);
      next.push(x < 0 || (keep === 'both' && y < 0) ? -1 : idOf(x, y));
    }
    const isSecond = second >= 0 && b.finals[second] === 1;
    finals.push(a.finals[first] === 1 && isSecond === (keep === 'both') ? 1 : 0);
  }
  return minimised({
    numStates: pairs.length,
    numClasses,
    classOf,
    next: Int32Array.from(next),
    finals: Uint8Array.from(finals),
    symbolEdges: pairs.map(() => []),
  });
}

function jointClasses(
  a: Automaton,
  b: Automaton,
): {
  readonly classOf: Uint8Array;
  readonly firstOf: readonly number[];
  readonly secondOf: readonly number[];
} {
  const ids = new Map<number, number>();
  const classOf = new Uint8Array(256);
  const [firstOf, secondOf]: [number[], number[]] = [[], []];
  for (let byte = 0; byte < 256; byte++) {
    const [x, y] = [a.classOf[byte] as number, b.classOf[byte] as number];
    let id = ids.get(x * 256 + y);
    if (id === undefined) {
      id = firstOf.push(x) - 1;
      secondOf.push(y);
      ids.set(x * 256 + y, id);
    }
    classOf[byte] = id;
  }
  return { classOf, firstOf, secondOf };
}
