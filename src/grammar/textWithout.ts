/**
 * Any text in which a given text is not found: the automaton of Knuth, Morris and Pratt, whose
 * state is how much of the unwanted text has just been read, without its last state.
 */
import { type Automaton, trimmed } from './automaton.ts';
import { difference } from './automatonAlgebra.ts';
import { regularAutomaton } from './nfa.ts';
import { ANY_CHARACTER, type Pattern, repeat } from './pattern.ts';

/** @param stop not empty */
export function textWithout(stop: string): Pattern {
  const anything = regularAutomaton(repeat(ANY_CHARACTER, 0, Number.POSITIVE_INFINITY));
  return { kind: 'automaton', automaton: difference(anything, textsWith(stop)) };
}

/** Bytes in which those of `stop` are found; the state after finding stays. */
function textsWith(stop: string): Automaton {
  const bytes = new TextEncoder().encode(stop);
  const letters = [...new Set(bytes)];
  const classOf = Uint8Array.from({ length: 256 }, (_, byte) => letters.indexOf(byte) + 1);
  const numClasses = letters.length + 1;
  const numStates = bytes.length + 1;
  const next = new Int32Array(numStates * numClasses);
  // The state that a failed match falls back to.
  let fallback = 0;
  for (let state = 0; state < numStates; state++) {
    for (let c = 0; c < numClasses; c++) {
      const goesOn = state < bytes.length && classOf[bytes[state] as number] === c;
      const fallen = state === 0 ? 0 : (next[fallback * numClasses + c] as number);
      next[state * numClasses + c] = state === bytes.length ? state : goesOn ? state + 1 : fallen;
    }
    if (state > 0 && state < bytes.length) {
      fallback = next[
        fallback * numClasses + (classOf[bytes[state] as number] as number)
      ] as number;
    }
  }
  const finals = new Uint8Array(numStates);
  finals[bytes.length] = 1;
  const symbolEdges = Array.from({ length: numStates }, () => []);
  return trimmed({ numStates, numClasses, classOf, next, finals, symbolEdges });
}
