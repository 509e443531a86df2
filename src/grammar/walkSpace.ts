/**
 * Configurations with nothing below them, numbered, and the steps between them kept: an automaton
 * that is made as far as walks over the vocabulary need it, so a walk mostly reads a table.
 *
 * Tokens are short, so few configurations are met; should they become many, or the masks of all
 * grammars too large, all are forgotten between two walks.
 */
import { type Configuration, FAILED, type Frame, type Tracker } from './configuration.ts';
import { spendEffort } from './effort.ts';
import type { Machine } from './machine.ts';
import type { MaskMemory } from './maskMemory.ts';

const MAX_PLACES = 32_768;
const UNKNOWN = -1;

export class WalkSpace {
  readonly #machine: Machine;
  readonly #tracker: Tracker;
  readonly #memory: MaskMemory;
  #generation: number;
  #places: Configuration[] = [FAILED];
  #ids = new Map<string, number>();
  #steps = new Int32Array(64 * 256).fill(UNKNOWN);
  #flags = new Uint8Array(64);

  constructor(machine: Machine, tracker: Tracker, memory: MaskMemory) {
    this.#machine = machine;
    this.#tracker = tracker;
    this.#memory = memory;
    this.#generation = memory.generation;
  }

  /** The state alone, without what it calls. */
  single(state: number, bottom: Frame): number {
    this.#forget(bottom);
    return this.#idOf({ states: [state], frames: [bottom], mayEnd: false });
  }

  /** The state with what it calls, and whether its rule may end there. */
  closed(state: number, bottom: Frame): number {
    this.#forget(bottom);
    return this.#idOf(this.#tracker.closed([state], [bottom]));
  }

  /** 0 where the byte may not come. */
  step(place: number, byte: number): number {
    const known = this.#steps[place * 256 + byte] as number;
    if (known !== UNKNOWN) return known;
    const from = this.#places[place] as Configuration;
    const to = this.#tracker.step(from, byte);
    spendEffort(from.states.length + to.states.length);
    const target = this.#idOf(to);
    this.#steps[place * 256 + byte] = target;
    return target;
  }

  mayEnd(place: number): boolean {
    return ((this.#flags[place] as number) & 1) !== 0;
  }

  readsBytes(place: number): boolean {
    return ((this.#flags[place] as number) & 2) !== 0;
  }

  #idOf(configuration: Configuration): number {
    if (configuration === FAILED) return 0;
    const { states, frames, mayEnd } = configuration;
    let key = mayEnd ? '+' : '';
    for (let i = 0; i < states.length; i++) key += `${states[i]}.${(frames[i] as Frame).id} `;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#places.push(configuration) - 1;
    this.#ids.set(key, id);
    if (id >= this.#flags.length) this.#grow();
    const readsBytes = states.some((state) => this.#machine.readsBytes[state] === 1);
    this.#flags[id] = (mayEnd ? 1 : 0) | (readsBytes ? 2 : 0);
    return id;
  }

  #grow(): void {
    this.#memory.add(this.#steps.byteLength);
    const steps = new Int32Array(this.#steps.length * 2).fill(UNKNOWN);
    steps.set(this.#steps);
    this.#steps = steps;
    const flags = new Uint8Array(this.#flags.length * 2);
    flags.set(this.#flags);
    this.#flags = flags;
  }

  #forget(bottom: Frame): void {
    const { generation } = this.#memory;
    if (this.#places.length < MAX_PLACES && this.#generation === generation) return;
    this.#generation = generation;
    this.#places = [FAILED];
    this.#ids = new Map();
    this.#steps = new Int32Array(64 * 256).fill(UNKNOWN);
    this.#flags = new Uint8Array(64);
    bottom.children.clear();
  }
}
