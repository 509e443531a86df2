/**
 * Where a text stands in a machine: a set of states, each on a stack of returns.
 *
 *   rule:    object ──calls──► member ──calls──► string
 *   stack:   root ◄── frame(object goes on at 7) ◄── frame(member goes on at 3)
 *
 * A frame is a call: where its callers go on and on which frames they stand. Callers of one rule at
 * one place of the text share one frame (the graph-structured stacks of generalised parsers; Tomita
 * 1987, Scott and Johnstone 2010), so that ambiguity costs states and not stacks. Frames never
 * change, hence are shared by all that follow, and equal ones are made once, so that stacks compare
 * by identity.
 */
import { at } from '../base/assert.ts';
import { refuseAmbiguity, spendEffort } from './effort.ts';
import type { Machine } from './machine.ts';

export interface Frame {
  readonly id: number;
  /** The states where the callers go on, and their frames; none for the root. */
  readonly returns: readonly number[];
  readonly parents: readonly Frame[];
  /** Frames whose first caller stands on this one, by where it goes on. */
  readonly children: Map<number | string, Frame>;
}

export interface Configuration {
  /** States that read something, and the frames that they stand on. */
  readonly states: readonly number[];
  readonly frames: readonly Frame[];
  /** Whether the root's rule may end here. */
  readonly mayEnd: boolean;
}

export const FAILED: Configuration = { states: [], frames: [], mayEnd: false };

/** An ambiguous grammar that needs more states at once is refused. */
const MAX_STATES_AT_ONCE = 1024;
/** As is one that returns from calls more often than this behind one byte. */
const MAX_RETURNS_AT_ONCE = 16_384;
const AT_ONCE = { maxStates: MAX_STATES_AT_ONCE, maxReturns: MAX_RETURNS_AT_ONCE };
/** From this many on, states are told apart by a set instead of one by one. */
const MIN_INDEXED = 12;

export function rootFrame(): Frame {
  return { id: 0, returns: [], parents: [], children: new Map() };
}

export class Tracker {
  readonly #machine: Machine;
  #numFrames = 1;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Before the first byte. */
  start(root: Frame): Configuration {
    const { entries, rootRule, mayBeEmpty } = this.#machine;
    const begun = this.closed([at(entries, rootRule)], [root]);
    return mayBeEmpty ? { ...begun, mayEnd: true } : begun;
  }

  /** After a byte; `FAILED` where it may not come. */
  step(configuration: Configuration, byte: number): Configuration {
    const { states, frames } = configuration;
    const { next, rowOf, classOf, classBaseOf, finals, calls } = this.#machine;
    const targets: number[] = [];
    const targetFrames: Frame[] = [];
    for (let i = 0; i < states.length; i++) {
      const state = states[i] as number;
      const column = classOf[(classBaseOf[state] as number) + byte] as number;
      const to = next[(rowOf[state] as number) + column] as number;
      if (to < 0) continue;
      targets.push(to);
      targetFrames.push(frames[i] as Frame);
    }
    if (targets.length === 0) return FAILED;
    const only = targets[0] as number;
    const isPlain =
      targets.length === 1 && finals[only] === 0 && (calls[only] as readonly object[]).length === 0;
    if (isPlain) return { states: targets, frames: targetFrames, mayEnd: false };
    return this.closed(targets, targetFrames);
  }

  /** After a control token. */
  stepControl(configuration: Configuration, id: number): Configuration {
    const targets: number[] = [];
    const targetFrames: Frame[] = [];
    for (const [i, state] of configuration.states.entries()) {
      for (const edge of at(this.#machine.controls, state)) {
        if (edge.id !== id) continue;
        targets.push(edge.to);
        targetFrames.push(at(configuration.frames, i));
      }
    }
    return targets.length === 0 ? FAILED : this.closed(targets, targetFrames);
  }

  /** With all that can be reached without reading: ends return, calls begin. */
  closed(seeds: readonly number[], seedFrames: readonly Frame[]): Configuration {
    const { finals, reads, calls, rankOf, ruleAtRank, entries } = this.#machine;
    const found = new Found(this.#machine.numStates);
    const pendingCalls = new Map<number, Links>();
    const stack = seeds.toReversed();
    const frameStack = seedFrames.toReversed();
    let mayEnd = false;
    let numReturns = 0;
    for (;;) {
      for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
        const frame = frameStack.pop() as Frame;
        if (!found.add(state, frame)) continue;
        for (const call of calls[state] as Machine['calls'][number]) {
          const rank = rankOf[call.rule] as number;
          let links = pendingCalls.get(rank);
          if (links === undefined) {
            links = { returns: [], parents: [] };
            pendingCalls.set(rank, links);
          }
          this.#addLink(links, call.returnsTo, frame);
        }
        if (finals[state] === 0) continue;
        if (frame.returns.length === 0) mayEnd = true;
        numReturns += frame.returns.length;
        spendEffort(frame.returns.length);
        if (numReturns > MAX_RETURNS_AT_ONCE) refuseAmbiguity(AT_ONCE);
        for (let i = frame.returns.length - 1; i >= 0; i--) {
          stack.push(frame.returns[i] as number);
          frameStack.push(frame.parents[i] as Frame);
        }
      }
      if (pendingCalls.size === 0) break;
      // All callers of the lowest rank are known: those that come later have higher ranks.
      let rank = Number.POSITIVE_INFINITY;
      for (const one of pendingCalls.keys()) if (one < rank) rank = one;
      const links = pendingCalls.get(rank) as Links;
      pendingCalls.delete(rank);
      stack.push(entries[ruleAtRank[rank] as number] as number);
      frameStack.push(this.#frame(links));
    }
    const { states, frames } = found;
    const isReading = (_: unknown, i: number): boolean => reads[states[i] as number] === 1;
    if (states.every(isReading)) return { states, frames, mayEnd };
    return { states: states.filter(isReading), frames: frames.filter(isReading), mayEnd };
  }

  /** A tail call returns straight to its caller's callers, so right recursion needs no stack. */
  #addLink(links: Links, returnsTo: number, frame: Frame): void {
    if (this.#machine.onlyEnds[returnsTo] === 1 && frame.returns.length > 0) {
      for (const [i, state] of frame.returns.entries()) {
        addDistinct(links, state, at(frame.parents, i));
      }
    } else addDistinct(links, returnsTo, frame);
  }

  #frame({ returns, parents }: Links): Frame {
    const first = at(parents, 0);
    const key = keyOf(returns, parents);
    let frame = first.children.get(key);
    if (frame === undefined) {
      frame = { id: this.#numFrames++, returns, parents, children: new Map() };
      first.children.set(key, frame);
    }
    return frame;
  }
}

interface Links {
  readonly returns: number[];
  readonly parents: Frame[];
}

function addDistinct({ returns, parents }: Links, state: number, parent: Frame): void {
  // A look is cheaper than a state.
  spendEffort(returns.length / 16);
  for (let i = 0; i < returns.length; i++) {
    if (returns[i] === state && parents[i] === parent) return;
  }
  returns.push(state);
  parents.push(parent);
  if (returns.length > MAX_STATES_AT_ONCE) refuseAmbiguity(AT_ONCE);
}

function keyOf(returns: readonly number[], parents: readonly Frame[]): number | string {
  if (returns.length === 1) return at(returns, 0);
  return returns.map((state, i) => `${state}.${at(parents, i).id}`).join();
}

/** States found so far, each once on each frame. */
class Found {
  readonly states: number[] = [];
  readonly frames: Frame[] = [];
  readonly #numStates: number;
  #index: Set<number> | undefined;

  constructor(numStates: number) {
    this.#numStates = numStates;
  }

  /** False where it was there already. */
  add(state: number, frame: Frame): boolean {
    const { states, frames } = this;
    if (this.#index === undefined) {
      for (let i = 0; i < states.length; i++) {
        if (states[i] === state && frames[i] === frame) return false;
      }
    } else {
      const { size } = this.#index;
      if (this.#index.add(this.#key(state, frame)).size === size) return false;
    }
    states.push(state);
    frames.push(frame);
    if (states.length === MIN_INDEXED) {
      this.#index = new Set(states.map((one, i) => this.#key(one, at(frames, i))));
    }
    if (states.length > MAX_STATES_AT_ONCE) refuseAmbiguity(AT_ONCE);
    return true;
  }

  #key(state: number, frame: Frame): number {
    return frame.id * this.#numStates + state;
  }
}
