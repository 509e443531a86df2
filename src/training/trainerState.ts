/**
 * What the trainer writes into a checkpoint and wants back: with the weights, the optimiser's
 * moments and the biases (which are the executor's), it is all a run needs to go on bit for bit.
 * There is no random state in it: every draw of the data follows from seed, source and epoch.
 */
import { MoebiusError } from '../base/errors.ts';
import type { GuardState } from '../policy/guard/spikeGuard.ts';
import type { KeptCheckpoints } from './checkpoints.ts';
import type { DataPosition } from './data/mixture.ts';
import type { StepProgress } from './step.ts';

export interface TrainerState {
  readonly version: 1;
  readonly progress: StepProgress;
  readonly position: DataPosition;
  readonly guard: GuardState;
  readonly smoothedLoss: SmoothedState;
  /** This checkpoint included. */
  readonly kept: KeptCheckpoints;
  /** A checkpoint is written before what it might not survive; a resumed run does it first. */
  readonly due: Due;
  readonly elapsedSeconds: number;
  readonly numSkipped: number;
  readonly numRollbacks: number;
}

export interface Due {
  readonly evaluation: boolean;
  readonly sample: boolean;
}

export const NOTHING_DUE: Due = { evaluation: false, sample: false };

/** @throws resume.state when the text is not what `JSON.stringify` of a state gives */
export function parseTrainerState(text: string): TrainerState {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch (cause) {
    throw broken('it is no JSON', cause);
  }
  const wrong = firstWrong(state, SHAPE, '');
  if (wrong !== null) throw broken(`${wrong} is missing or of the wrong type`);
  return state as TrainerState;
}

/** A mean that weighs the newest most, exact from the first value on (debiased). */
export interface SmoothedState {
  readonly sum: number;
  readonly weight: number;
}

export const UNSMOOTHED: SmoothedState = { sum: 0, weight: 0 };

const DECAY = 0.9;

export function smooth(state: SmoothedState, value: number): SmoothedState {
  return {
    sum: DECAY * state.sum + (1 - DECAY) * value,
    weight: DECAY * state.weight + (1 - DECAY),
  };
}

export function smoothedValue({ sum, weight }: SmoothedState): number {
  return weight === 0 ? 0 : sum / weight;
}

type Shape =
  | 'number'
  | 'string'
  | 'boolean'
  | { readonly [key: string]: Shape }
  | readonly [Shape]
  | { readonly orNull: Shape };

const SHAPE: Shape = {
  progress: { step: 'number', updates: 'number', tokens: 'number' },
  position: {
    fingerprint: 'string',
    pools: [{ epoch: 'number', drawn: 'number', total: 'number' }],
  },
  guard: { losses: ['number'], norms: ['number'], numInterventions: 'number' },
  smoothedLoss: { sum: 'number', weight: 'number' },
  kept: {
    saved: ['string'],
    best: { orNull: { name: 'string', step: 'number', bitsPerByte: 'number' } },
  },
  due: { evaluation: 'boolean', sample: 'boolean' },
  elapsedSeconds: 'number',
  numSkipped: 'number',
  numRollbacks: 'number',
  version: 'number',
};

/** Path of the first value that does not fit, or null. */
function firstWrong(value: unknown, shape: Shape, path: string): string | null {
  const name = path === '' ? 'the state' : path.slice(1);
  if (typeof shape === 'string') return typeof value === shape ? null : name;
  if (isListShape(shape)) {
    if (!Array.isArray(value)) return name;
    for (const [index, element] of value.entries()) {
      const wrong = firstWrong(element, shape[0], `${path}.${index}`);
      if (wrong !== null) return wrong;
    }
    return null;
  }
  if ('orNull' in shape) return value === null ? null : firstWrong(value, shape.orNull, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return name;
  for (const [key, inner] of Object.entries(shape)) {
    const wrong = firstWrong((value as Record<string, unknown>)[key], inner, `${path}.${key}`);
    if (wrong !== null) return wrong;
  }
  if (path === '' && (value as { version?: unknown }).version !== 1) return 'version';
  return null;
}

function isListShape(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}

function broken(why: string, cause?: unknown): MoebiusError {
  return new MoebiusError('resume.state', `the checkpoint's trainer state is damaged: ${why}`, {
    hint: 'Resume from another checkpoint of the run.',
    ...(cause === undefined ? {} : { cause }),
  });
}
