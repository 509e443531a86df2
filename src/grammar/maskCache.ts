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
import type { TokenTrie } from './tokenTrie.ts';
import { WalkSpace } from './walkSpace.ts';

export interface MaskPart {
  readonly tokens: TokenSet;
  readonly exits: ExitSet | null;
}

/** Few tokens as a list, many as a mask. */
export interface TokenSet {
  readonly count: number;
  readonly first: number;
  readonly list: Int32Array | null;
  readonly mask: Uint32Array | null;
}

/** Nodes of the tree where a rule may end; equal sets are one object. */
export interface ExitSet {
  readonly nodes: Int32Array;
  /** What may come after these exits, by the state where the call returns. */
  readonly after: Map<number, MaskPart>;
}

interface Walked {
  readonly tokens: TokenSet;
  readonly exitNodes: Int32Array;
}

/** Walks of one rule. */
interface RuleWalks {
  readonly byState: (Walked | undefined)[];
  numBytes: number;
  /** Not once it was forgotten; grammars that have it go on with it. */
  isKept: boolean;
}

/**
 * Walks of rules that stand on their own, by the rule's automaton; for all grammars. Bounded,
 * because whoever sends grammars chooses how many there are: the longest unused go first.
 */
export class SharedWalks {
  readonly #byRule = new Map<string, RuleWalks>();
  readonly #maxBytes: number;
  #numBytes = 0;

  constructor(maxBytes: number = MAX_SHARED_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get numRules(): number {
    return this.#byRule.size;
  }

  get numBytes(): number {
    return this.#numBytes;
  }

  of(automaton: Automaton): RuleWalks {
    const key = signatureOf(automaton);
    let walks = this.#byRule.get(key);
    if (walks === undefined) {
      walks = { byState: [], numBytes: 2 * key.length, isKept: true };
      this.#numBytes += walks.numBytes;
    }
    this.#byRule.delete(key);
    this.#byRule.set(key, walks);
    this.#forgetOldest();
    return walks;
  }

  keep(walks: RuleWalks, state: number, walked: Walked): void {
    const bytes = PART_BYTES + bytesOfTokens(walked.tokens) + walked.exitNodes.byteLength;
    walks.byState[state] = walked;
    walks.numBytes += bytes;
    if (!walks.isKept) return;
    this.#numBytes += bytes;
    this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const [key, walks] of this.#byRule) {
      if (this.#numBytes <= this.#maxBytes && this.#byRule.size <= MAX_SHARED_RULES) return;
      this.#byRule.delete(key);
      this.#numBytes -= walks.numBytes;
      walks.isKept = false;
    }
  }
}

/** What all grammars of a vocabulary share. */
export interface VocabularyIndex {
  readonly trie: TokenTrie;
  readonly shared: SharedWalks;
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
    shared: new SharedWalks(),
    scratch: {
      accepted: new Int32Array(trie.size),
      exitNodes: new Int32Array(trie.numNodes),
      isExit: new Uint8Array(trie.numNodes),
    },
  };
}

/** When a grammar's masks take more, they are forgotten and found anew. */
const MAX_BYTES = 96 * 2 ** 20;
const MAX_SHARED_BYTES = 64 * 2 ** 20;
const MAX_SHARED_RULES = 256;
/** Of a part or a walk beside its tokens and nodes. */
const PART_BYTES = 256;
/** Larger automata are not worth a key. */
const MAX_SHARED_CELLS = 20_000;

export class MaskCache {
  readonly #machine: Machine;
  readonly #trie: TokenTrie;
  readonly #shared: SharedWalks;
  readonly #space: WalkSpace;
  readonly #bottom: Frame = rootFrame();
  readonly #path: Int32Array;
  readonly #seen: Uint32Array;
  /** Scratch of walks: tokens and nodes found so far, and which nodes those are. */
  readonly #accepted: Int32Array;
  readonly #exitNodes: Int32Array;
  readonly #isExit: Uint8Array;
  #sharedOfRule: (RuleWalks | null | undefined)[] = [];
  #ofState: (MaskPart | undefined)[] = [];
  #exitSets = new Map<number, ExitSet[]>();
  #numBytes = 0;

  constructor(machine: Machine, tracker: Tracker, { trie, shared, scratch }: VocabularyIndex) {
    this.#machine = machine;
    this.#trie = trie;
    this.#shared = shared;
    this.#space = new WalkSpace(machine, tracker);
    this.#path = new Int32Array(trie.maxDepth + 2);
    this.#seen = new Uint32Array((trie.size + 31) >>> 5);
    this.#accepted = scratch.accepted;
    this.#exitNodes = scratch.exitNodes;
    this.#isExit = scratch.isExit;
  }

  /** What it keeps, tokens that it shares with other grammars included. */
  get numBytes(): number {
    return this.#numBytes + this.#space.numBytes;
  }

  /** Tokens that begin with a byte that the state itself reads. */
  ofState(state: number): MaskPart {
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
    const known = shared?.byState[local];
    if (known !== undefined) return known;
    const walked = this.#walk(Int32Array.of(0), this.#space.single(state, this.#bottom));
    if (shared !== null) this.#shared.keep(shared, local, walked);
    return walked;
  }

  #sharedWalks(rule: number): RuleWalks | null {
    const known = this.#sharedOfRule[rule];
    if (known !== undefined) return known;
    const automaton = at(this.#machine.closedAutomata, rule);
    const isShared = automaton !== null && automaton.next.length <= MAX_SHARED_CELLS;
    const walks = isShared ? this.#shared.of(automaton) : null;
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

  #keep({ tokens, exitNodes }: Walked): MaskPart {
    if (this.#numBytes > MAX_BYTES) {
      this.#ofState = [];
      this.#sharedOfRule = [];
      this.#exitSets = new Map();
      this.#numBytes = 0;
    }
    this.#numBytes += PART_BYTES + bytesOfTokens(tokens);
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
      this.#numBytes += nodes.byteLength;
    }
    return set;
  }
}

function bytesOfTokens({ list, mask }: TokenSet): number {
  return (list?.byteLength ?? 0) + (mask?.byteLength ?? 0);
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function signatureOf({ numClasses, classOf, next, finals }: Automaton): string {
  return `${numClasses} ${classOf.join()} ${next.join()} ${finals.join()}`;
}
