/**
 * The tokens that may come, found once for each state and kept.
 *
 * What a state allows depends on the stack below only where a token runs past the end of the
 * state's rule. So a walk over the vocabulary's tree from a state with nothing below it gives two
 * things: tokens that are allowed whatever lies below, and *exits*, the nodes where the rule may
 * end inside a token. What follows an exit depends on the state where the call returns, and is
 * again found once for each pair of exits and return:
 *
 *   mask of a stack = tokens(state) ∪ tokens(exits of state, return) ∪ tokens(their exits, …) ∪ …
 *
 * Strings of all properties of all schemas share their walk, and only the few tokens that close a
 * string are looked at once more for what may follow. Rules that call no others are shared by all
 * grammars of a vocabulary.
 */
import { at } from '../base/assert.ts';
import type { Automaton } from './automaton.ts';
import { type Frame, rootFrame, type Tracker } from './configuration.ts';
import type { Machine } from './machine.ts';
import { MaskMemory, type TokenSet, type Walked } from './maskMemory.ts';
import type { TokenTrie } from './tokenTrie.ts';
import { WalkSpace } from './walkSpace.ts';

export interface MaskPart {
  readonly tokens: TokenSet;
  readonly exits: ExitSet | null;
}

/** Nodes of the tree where a rule may end; equal sets are one object. */
export interface ExitSet {
  readonly nodes: Int32Array;
  /** What may come after these exits, by the state where the call returns. */
  readonly after: Map<number, MaskPart>;
}

/** What all grammars of a vocabulary share. */
export interface VocabularyIndex {
  readonly trie: TokenTrie;
  readonly memory: MaskMemory;
  readonly scratch: WalkScratch;
}

export interface WalkScratch {
  readonly accepted: Int32Array;
  readonly exitNodes: Int32Array;
  readonly isExit: Uint8Array;
}

export function indexOfTrie(trie: TokenTrie): VocabularyIndex {
  return {
    trie,
    memory: new MaskMemory(),
    scratch: {
      accepted: new Int32Array(trie.size),
      exitNodes: new Int32Array(trie.numNodes),
      isExit: new Uint8Array(trie.numNodes),
    },
  };
}

const MAX_SHARED_RULES = 256;
/** Larger automata are not worth a key. */
const MAX_SHARED_CELLS = 20_000;

export class MaskCache {
  readonly #machine: Machine;
  readonly #trie: TokenTrie;
  readonly #memory: MaskMemory;
  readonly #space: WalkSpace;
  readonly #bottom: Frame = rootFrame();
  readonly #path: Int32Array;
  readonly #seen: Uint32Array;
  /** Scratch of walks: tokens and nodes found so far, and which nodes those are. */
  readonly #accepted: Int32Array;
  readonly #exitNodes: Int32Array;
  readonly #isExit: Uint8Array;
  #sharedOfRule: ((Walked | undefined)[] | null | undefined)[] = [];
  #ofState: (MaskPart | undefined)[] = [];
  #exitSets = new Map<number, ExitSet[]>();
  #generation: number;

  constructor(machine: Machine, tracker: Tracker, { trie, memory, scratch }: VocabularyIndex) {
    this.#machine = machine;
    this.#trie = trie;
    this.#memory = memory;
    this.#generation = memory.generation;
    this.#space = new WalkSpace(machine, tracker, memory);
    this.#path = new Int32Array(trie.maxDepth + 2);
    this.#seen = new Uint32Array((trie.size + 31) >>> 5);
    this.#accepted = scratch.accepted;
    this.#exitNodes = scratch.exitNodes;
    this.#isExit = scratch.isExit;
  }

  /** Tokens that begin with a byte that the state itself reads. */
  ofState(state: number): MaskPart {
    this.#forgetIfDue();
    const alias = at(this.#machine.aliasOf, state);
    let part = this.#ofState[alias];
    if (part === undefined) {
      part = this.#keep(this.#walkedState(alias));
      this.#ofState[alias] = part;
    }
    return part;
  }

  /** Tokens that run through an exit and go on at the state where the call returns. */
  after(exits: ExitSet, returnsTo: number): MaskPart {
    this.#forgetIfDue();
    const alias = at(this.#machine.aliasOf, returnsTo);
    let part = exits.after.get(alias);
    if (part === undefined) {
      const start = this.#space.closed(alias, this.#bottom);
      part = this.#keep(this.#walk(exits.nodes, start));
      exits.after.set(alias, part);
    }
    return part;
  }

  #walkedState(state: number): Walked {
    const rule = at(this.#machine.ruleOf, state);
    const shared = this.#sharedWalks(rule);
    const local = state - at(this.#machine.ruleStarts, rule);
    const known = shared?.[local];
    if (known !== undefined) return known;
    const walked = this.#walk(Int32Array.of(0), this.#space.single(state, this.#bottom));
    if (shared !== null) shared[local] = walked;
    return walked;
  }

  #sharedWalks(rule: number): (Walked | undefined)[] | null {
    const known = this.#sharedOfRule[rule];
    if (known !== undefined) return known;
    const automaton = at(this.#machine.closedAutomata, rule);
    const isShared = automaton !== null && automaton.next.length <= MAX_SHARED_CELLS;
    let walks: (Walked | undefined)[] | null = null;
    if (isShared) {
      const key = signatureOf(automaton);
      const { shared } = this.#memory;
      walks = shared.get(key) ?? [];
      if (shared.size >= MAX_SHARED_RULES) shared.clear();
      shared.set(key, walks);
    }
    this.#sharedOfRule[rule] = walks;
    return walks;
  }

  #walk(from: Int32Array, start: number): Walked {
    const { bytes, depths, ends, tokenStarts, tokens } = this.#trie;
    const space = this.#space;
    const path = this.#path;
    const seen = this.#seen.fill(0);
    const accepted = this.#accepted;
    const exitNodes = this.#exitNodes;
    const isExit = this.#isExit;
    let numAccepted = 0;
    let numExits = 0;
    const readsAtStart = space.readsBytes(start);
    const endsAtStart = space.mayEnd(start);
    for (let i = 0; i < from.length; i++) {
      const top = from[i] as number;
      if (endsAtStart && top !== 0 && isExit[top] === 0) {
        isExit[top] = 1;
        exitNodes[numExits++] = top;
      }
      if (!readsAtStart) continue;
      path[depths[top] as number] = start;
      const past = ends[top] as number;
      for (let node = top + 1; node < past; ) {
        const depth = depths[node] as number;
        const place = space.step(path[depth - 1] as number, bytes[node] as number);
        if (place === 0) {
          node = ends[node] as number;
          continue;
        }
        const pastTokens = tokenStarts[node + 1] as number;
        for (let j = tokenStarts[node] as number; j < pastTokens; j++) {
          const id = tokens[j] as number;
          const bit = 1 << (id & 31);
          const word = seen[id >>> 5] as number;
          if ((word & bit) !== 0) continue;
          seen[id >>> 5] = word | bit;
          accepted[numAccepted++] = id;
        }
        if (space.mayEnd(place) && isExit[node] === 0) {
          isExit[node] = 1;
          exitNodes[numExits++] = node;
        }
        path[depth] = place;
        node = space.readsBytes(place) ? node + 1 : (ends[node] as number);
      }
    }
    const exits = exitNodes.slice(0, numExits);
    for (let i = 0; i < numExits; i++) isExit[exits[i] as number] = 0;
    const isDense = numAccepted > seen.length;
    return {
      tokens: {
        count: numAccepted,
        first: numAccepted === 0 ? -1 : (accepted[0] as number),
        list: isDense ? null : accepted.slice(0, numAccepted),
        mask: isDense ? seen.slice() : null,
      },
      exitNodes: exits,
    };
  }

  #forgetIfDue(): void {
    if (this.#generation === this.#memory.generation) return;
    this.#generation = this.#memory.generation;
    this.#ofState = [];
    this.#exitSets = new Map();
    this.#sharedOfRule = [];
  }

  #keep({ tokens, exitNodes }: Walked): MaskPart {
    this.#memory.add(256 + (tokens.list?.byteLength ?? 0) + (tokens.mask?.byteLength ?? 0));
    return { tokens, exits: exitNodes.length === 0 ? null : this.#exitSet(exitNodes) };
  }

  #exitSet(nodes: Int32Array): ExitSet {
    let hash = nodes.length;
    for (let i = 0; i < nodes.length; i++) {
      hash = (Math.imul(hash, 0x01000193) ^ (nodes[i] as number)) >>> 0;
    }
    const known = this.#exitSets.get(hash) ?? [];
    let set = known.find((one) => isSame(one.nodes, nodes));
    if (set === undefined) {
      set = { nodes, after: new Map() };
      this.#exitSets.set(hash, [...known, set]);
      this.#memory.add(nodes.byteLength);
    }
    return set;
  }
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function signatureOf({ numClasses, classOf, next, finals }: Automaton): string {
  return `${numClasses} ${classOf.join()} ${next.join()} ${finals.join()}`;
}
