/**
 * A server's counts of its experts' tokens as frames: they only grow, so every reading that differs
 * from the one before is a frame, and what came between two of them is their difference.
 */
import { numDeadExperts, utilisation } from '../../src/policy/routing/biasUpdate.ts';
import {
  EMPTY_HISTORY,
  type ExpertFrame,
  type ExpertHistory,
  type ExpertLayer,
  everySecond,
  MAX_FRAMES,
} from './expertFrames.ts';

interface Recording {
  readonly layers?: readonly {
    readonly layer: number;
    /** Of the studio's `serve/experts`. */
    readonly tokensPerExpert?: readonly number[];
    /** Of the server's own recording. */
    readonly tokens_per_expert?: readonly number[];
    readonly bias?: readonly number[];
  }[];
}

/** Of what `/dump_expert_distribution_record` and `serve/experts` say. */
export function frameOfRecording(recording: unknown, step: number = 0): ExpertFrame {
  const { layers = [] } = (recording ?? {}) as Recording;
  return {
    step,
    biasStep: layers.some(({ bias }) => bias !== undefined) ? step : null,
    layersLeftOut: 0,
    layers: layers.map(({ layer, tokensPerExpert, tokens_per_expert: recorded = [], bias }) => {
      const tokens = tokensPerExpert ?? recorded;
      return { ...countedLayer(layer, tokens), bias: bias === undefined ? null : bias.map(short) };
    }),
  };
}

/** Six decimals, as in a run's file: a float of 32 bits has more than it knows. */
function short(value: number): number {
  return Number(value.toFixed(6));
}

function countedLayer(layer: number, tokens: readonly number[]): ExpertLayer {
  // Before the first token nobody is dead.
  const deadExperts = tokens.some((count) => count > 0) ? numDeadExperts(tokens) : 0;
  return { layer, tokens, bias: null, loads: [...utilisation(tokens)], deadExperts };
}

/**
 * The history with another reading of a server's counts, where they have changed. Counts that fell
 * are another engine's: the history begins anew.
 */
export function withRecording(
  history: ExpertHistory,
  recording: unknown,
  maxFrames: number = MAX_FRAMES,
): ExpertHistory {
  const before = history.frames.at(-1);
  const frame = frameOfRecording(recording, (before?.step ?? 0) + 1);
  if (frame.layers.length === 0) return EMPTY_HISTORY;
  switch (before === undefined ? 'grew' : changeBetween(before, frame)) {
    case 'same':
      return history;
    case 'fell':
      return withRecording(EMPTY_HISTORY, recording, maxFrames);
    case 'grew': {
      const frames = [...history.frames, frame];
      const numSeen = history.numSeen + 1;
      if (frames.length <= maxFrames) return { ...history, frames, numSeen };
      return { frames: everySecond(frames), stride: history.stride * 2, numSeen };
    }
  }
}

/** What of a frame of counts came since another one: who is chosen now, and not since the start. */
export function frameSince(before: ExpertFrame, frame: ExpertFrame): ExpertFrame {
  const known = new Map(before.layers.map(({ layer, tokens }) => [layer, tokens]));
  const layers = frame.layers.map((each) => {
    const from = known.get(each.layer) ?? [];
    const tokens = (each.tokens ?? []).map((count, expert) => count - (from[expert] ?? 0));
    return { ...countedLayer(each.layer, tokens), bias: each.bias };
  });
  return { ...frame, layers };
}

/** Each frame since the one before; the first stays as it is, since the start. */
export function sinceEachBefore(history: ExpertHistory): ExpertHistory {
  const frames = history.frames.map((frame, i) => {
    const before = history.frames[i - 1];
    return before === undefined ? frame : frameSince(before, frame);
  });
  return { ...history, frames };
}

function changeBetween(before: ExpertFrame, after: ExpertFrame): 'same' | 'grew' | 'fell' {
  if (shapeOf(before) !== shapeOf(after)) return 'fell';
  const changes = frameSince(before, after).layers.flatMap(({ tokens }) => tokens ?? []);
  if (changes.some((change) => change < 0)) return 'fell';
  return changes.some((change) => change > 0) ? 'grew' : 'same';
}

/** Another model mostly has other layers, or other numbers of experts. */
function shapeOf({ layers }: ExpertFrame): string {
  return layers.map(({ layer, loads }) => `${layer}:${loads.length}`).join(' ');
}
