/**
 * A grammar made ready for a vocabulary, and the matchers that follow texts.
 *
 *   spec ─► rules of patterns ─► machine ─┬─ tracker: where a text stands, byte by byte
 *                                         └─ masks: what may come there, by walks over the tokens
 */
import { assert, at } from '../base/assert.ts';
import { type Configuration, FAILED, type Frame, rootFrame, Tracker } from './configuration.ts';
import { withinCompiling, withinWalking } from './effort.ts';
import type { CompiledGrammar, GrammarMatcher, GrammarSpec, GrammarVocabulary } from './grammar.ts';
import { buildMachine, bytesOfMachine, type Machine } from './machine.ts';
import {
  type ExitSet,
  indexOfTrie,
  MaskCache,
  type MaskPart,
  type VocabularyIndex,
} from './maskCache.ts';
import { rulesOfSpec } from './rulesOfSpec.ts';
import { buildTokenTrie } from './tokenTrie.ts';

/**
 * The tree of the vocabulary is built at its first grammar and kept with the vocabulary's object,
 * so pass the same object each time. `node bench/grammarMasks.ts` says how long that takes.
 *
 * @throws grammar.* what the grammar says wrong, or asks for and cannot be held to
 */
export function compileGrammar(spec: GrammarSpec, vocabulary: GrammarVocabulary): CompiledGrammar {
  const index = indexOf(vocabulary);
  const machine = withinCompiling(() =>
    buildMachine(rulesOfSpec(spec, vocabulary), index.trie.maxDepth),
  );
  const tracker = new Tracker(machine);
  const compiled: Compiled = {
    vocabulary,
    machine,
    tracker,
    masks: new MaskCache(machine, tracker, index),
    numWords: (vocabulary.size + 31) >>> 5,
  };
  return {
    numBytes: bytesOfMachine(machine),
    start: () => new Matcher(compiled, tracker.start(rootFrame())),
  };
}

const indexes = new WeakMap<GrammarVocabulary, VocabularyIndex>();

function indexOf(vocabulary: GrammarVocabulary): VocabularyIndex {
  let index = indexes.get(vocabulary);
  if (index === undefined) {
    index = indexOfTrie(buildTokenTrie(vocabulary));
    indexes.set(vocabulary, index);
  }
  return index;
}

interface Compiled {
  readonly vocabulary: GrammarVocabulary;
  readonly machine: Machine;
  readonly tracker: Tracker;
  readonly masks: MaskCache;
  readonly numWords: number;
}

/** What an end token leaves: only end tokens may come after it. */
const OVER: Configuration = { states: [], frames: [], mayEnd: true };

class Matcher implements GrammarMatcher {
  readonly #compiled: Compiled;
  #configuration: Configuration;
  /** What may come, until the next token; shared with clones. */
  #parts: readonly MaskPart[] | null = null;

  constructor(compiled: Compiled, configuration: Configuration) {
    this.#compiled = compiled;
    this.#configuration = configuration;
  }

  get mayEnd(): boolean {
    return this.#configuration.mayEnd;
  }

  get mustEnd(): boolean {
    const { endIds } = this.#compiled.vocabulary;
    return (
      this.mayEnd &&
      this.#maskParts().every((part) => part.tokens.count === 0) &&
      this.#controlIds().every((id) => endIds.has(id))
    );
  }

  fillMask(mask: Uint32Array): void {
    const { numWords, vocabulary } = this.#compiled;
    assert(mask.length === numWords, `a mask has ${numWords} words, not ${mask.length}`);
    let isFresh = true;
    for (const { tokens } of this.#maskParts()) {
      if (tokens.mask === null) continue;
      if (isFresh) mask.set(tokens.mask);
      else uniteMasks(mask, tokens.mask);
      isFresh = false;
    }
    if (isFresh) mask.fill(0);
    for (const { tokens } of this.#maskParts()) {
      if (tokens.list !== null) for (const id of tokens.list) setBit(mask, id);
    }
    for (const id of this.#controlIds()) setBit(mask, id);
    if (this.mayEnd) for (const id of vocabulary.endIds) setBit(mask, id);
  }

  accept(id: number): boolean {
    const { vocabulary, tracker } = this.#compiled;
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary.size)) return false;
    const isEnd = vocabulary.endIds.has(id);
    const bytes = isEnd ? null : vocabulary.bytesOf(id);
    let configuration = this.#configuration;
    if (bytes === null) {
      configuration = tracker.stepControl(configuration, id);
      if (configuration === FAILED && isEnd && this.mayEnd) configuration = OVER;
    } else {
      if (bytes.length === 0) return false;
      for (let i = 0; i < bytes.length && configuration !== FAILED; i++) {
        configuration = tracker.step(configuration, bytes[i] as number);
      }
    }
    if (configuration === FAILED) return false;
    this.#configuration = configuration;
    this.#parts = null;
    return true;
  }

  forcedToken(): number | null {
    const forced = new Set(this.#controlIds());
    if (this.mayEnd) for (const id of this.#compiled.vocabulary.endIds) forced.add(id);
    for (const { tokens } of this.#maskParts()) {
      if (tokens.count > 1 || forced.size > 1) return null;
      if (tokens.count === 1) forced.add(tokens.first);
    }
    const [only] = forced;
    return forced.size === 1 && only !== undefined ? only : null;
  }

  clone(): GrammarMatcher {
    const copy = new Matcher(this.#compiled, this.#configuration);
    copy.#parts = this.#parts;
    return copy;
  }

  #controlIds(): readonly number[] {
    const { controls } = this.#compiled.machine;
    return this.#configuration.states.flatMap((state) => at(controls, state).map(({ id }) => id));
  }

  /** Those of each state, and of what lies below it as far as a token can reach. */
  #maskParts(): readonly MaskPart[] {
    this.#parts ??= withinWalking(() => this.#findParts());
    return this.#parts;
  }

  #findParts(): readonly MaskPart[] {
    const { masks } = this.#compiled;
    const parts = new Set<MaskPart>();
    const visited = new Map<ExitSet, Set<Frame>>();
    const pending: [MaskPart, Frame][] = [];
    for (const [i, state] of this.#configuration.states.entries()) {
      pending.push([masks.ofState(state), at(this.#configuration.frames, i)]);
    }
    for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
      const [part, frame] = entry;
      parts.add(part);
      if (part.exits === null || frame.returns.length === 0) continue;
      const frames = visited.get(part.exits) ?? new Set();
      visited.set(part.exits, frames);
      if (frames.has(frame)) continue;
      frames.add(frame);
      for (const [i, state] of frame.returns.entries()) {
        pending.push([masks.after(part.exits, state), at(frame.parents, i)]);
      }
    }
    return [...parts];
  }
}

function setBit(mask: Uint32Array, id: number): void {
  mask[id >>> 5] = (mask[id >>> 5] as number) | (1 << (id & 31));
}

function uniteMasks(mask: Uint32Array, other: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) mask[i] = (mask[i] as number) | (other[i] as number);
}
