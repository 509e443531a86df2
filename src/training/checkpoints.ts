/**
 * The checkpoints of a run: what they are called, which stay, which is best. Writing one is an
 * instruction; listing and removing them is the store's, on whatever disk; deciding is done here.
 *
 * Only checkpoints that this run wrote are ever removed: what an earlier timeline left behind (a
 * run that was resumed from further back) is somebody's.
 */
import type { TrainingExecutor } from '../executor/executor.ts';
import { onRankZero } from '../policy/pipeline/singleRank.ts';
import type { BestCheckpoint } from './events.ts';
import { only } from './outcomes.ts';

export interface CheckpointStore {
  /** Names of the run's checkpoints, whole ones only, in any order. */
  list(): Promise<readonly string[]>;
  /** A checkpoint that is not there is no error. */
  remove(name: string): Promise<void>;
  /** Notes which one is best, in place of the one before; it exists. */
  markBest(best: BestCheckpoint): Promise<void>;
}

/** What the keeper knows, to be saved with the trainer's state. */
export interface KeptCheckpoints {
  /** Written by this run and not removed, oldest first. */
  readonly saved: readonly string[];
  readonly best: BestCheckpoint | null;
}

export interface CheckpointPlace {
  readonly name: string;
  readonly directory: string;
}

export class CheckpointKeeper {
  readonly #executor: TrainingExecutor;
  readonly #store: CheckpointStore;
  readonly #keepLast: number;
  #saved: readonly string[] = [];
  #best: BestCheckpoint | null = null;
  #newest: CheckpointPlace | null = null;

  constructor(
    executor: TrainingExecutor,
    store: CheckpointStore,
    { keepLast }: { readonly keepLast: number },
  ) {
    this.#executor = executor;
    this.#store = store;
    this.#keepLast = keepLast;
  }

  get newest(): CheckpointPlace | null {
    return this.#newest;
  }

  get best(): BestCheckpoint | null {
    return this.#best;
  }

  /** After a resume: goes on from what the checkpoint in `directory` knew. */
  restore({ saved, best }: KeptCheckpoints, directory: string): void {
    this.#saved = saved;
    this.#best = best;
    this.#newest = { name: saved.at(-1) ?? directory, directory };
  }

  /**
   * Writes a checkpoint and removes what is no longer kept.
   *
   * @param stateOf the trainer's state as text, given what is kept once this one is written
   */
  async save(
    step: number,
    stateOf: (kept: KeptCheckpoints) => string,
    files: Readonly<Record<string, string>>,
  ): Promise<CheckpointPlace & { readonly bytes: number }> {
    const name = checkpointName(step, await this.#store.list());
    const saved = [...this.#saved, name];
    const checkpoint = { name, trainerState: stateOf({ saved, best: this.#best }), files };
    const { outcomes } = await this.#executor.run(onRankZero([{ kind: 'saveShard', checkpoint }]));
    const { directory, bytes } = only(outcomes, 'saved');
    this.#saved = saved;
    this.#newest = { name, directory };
    await this.#prune();
    return { name, directory, bytes };
  }

  /** @returns whether the newest checkpoint, having been evaluated, is the best so far */
  async judgeNewest(step: number, bitsPerByte: number): Promise<boolean> {
    const isBest = bitsPerByte < (this.#best?.bitsPerByte ?? Number.POSITIVE_INFINITY);
    if (!isBest || this.#newest === null) return false;
    this.#best = { name: this.#newest.name, step, bitsPerByte };
    await this.#store.markBest(this.#best);
    await this.#prune();
    return true;
  }

  async #prune(): Promise<void> {
    const best = this.#best?.name ?? null;
    const removed = checkpointsToRemove(this.#saved, { keepLast: this.#keepLast, best });
    for (const name of removed) await this.#store.remove(name);
    this.#saved = this.#saved.filter((name) => !removed.includes(name));
  }
}

/**
 * Which of a run's checkpoints to remove: all but the newest `keepLast` and the best.
 *
 * @param saved names in the order in which they were written
 */
export function checkpointsToRemove(
  saved: readonly string[],
  { keepLast, best }: { readonly keepLast: number; readonly best: string | null },
): readonly string[] {
  return saved.slice(0, -keepLast).filter((name) => name !== best);
}

/** `step-0000120`, or `step-0000120-2` where an earlier timeline of the run left that name. */
export function checkpointName(step: number, taken: readonly string[]): string {
  const name = `step-${String(step).padStart(7, '0')}`;
  if (!taken.includes(name)) return name;
  let attempt = 2;
  while (taken.includes(`${name}-${attempt}`)) attempt++;
  return `${name}-${attempt}`;
}
