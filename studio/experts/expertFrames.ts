/**
 * How the experts fared, step by step: what the lines of a run's `metrics.jsonl` say of them, or
 * the server's own counts, as one kind of frame that a heat map shows.
 *
 * Loads are ratios to the mean of their layer, so 1 is the ideal. They are the numbers of the file,
 * not computed again; where a line has counts only, the ratio is taken of those.
 */
import { at } from '../../src/base/assert.ts';
import { numDeadExperts, utilisation } from '../../src/policy/routing/biasUpdate.ts';
import type { HeatGrid } from '../draw/heatMap.ts';

export interface ExpertLayer {
  readonly layer: number;
  /** Over the layer's mean. */
  readonly loads: readonly number[];
  /** (token, expert) choices, where they were counted for this frame. */
  readonly tokens: readonly number[] | null;
  /** What the router adds to each expert's score when it selects; null: not known. */
  readonly bias: readonly number[] | null;
  readonly deadExperts: number;
}

export interface ExpertFrame {
  /** Of the training; of a server's counts, how many times they had changed when they were read. */
  readonly step: number;
  readonly layers: readonly ExpertLayer[];
  /** The step that the biases are of: they are written less often than loads. */
  readonly biasStep: number | null;
  /** Layers that the cap on a run's metrics kept out of this line. */
  readonly layersLeftOut: number;
}

interface StepLine {
  readonly kind?: unknown;
  readonly step?: number;
  readonly layersLeftOut?: number;
  readonly balance?: {
    readonly layers?: readonly {
      readonly layer: number;
      readonly utilisation?: readonly number[];
    }[];
  } | null;
  readonly experts?: {
    readonly layers: readonly number[];
    readonly tokens: readonly (readonly number[])[];
    readonly bias: readonly (readonly number[])[];
  };
}

/** null for a line that is no step, or tells of no experts. */
export function frameOfLine(line: unknown, before: ExpertFrame | null): ExpertFrame | null {
  const { kind, step, balance, experts, layersLeftOut } = (line ?? {}) as StepLine;
  if (kind !== 'step' || step === undefined) return null;
  const written = new Map((balance?.layers ?? []).map((row) => [row.layer, row.utilisation]));
  const whole = new Map(experts?.layers.map((layer, row) => [layer, row]));
  const known = new Map(before?.layers.map(({ layer, bias }) => [layer, bias]));
  const layers = [...new Set([...written.keys(), ...whole.keys()])].sort((a, b) => a - b);
  const rows = layers.flatMap((layer): ExpertLayer[] => {
    const row = whole.get(layer);
    const tokens = row === undefined ? null : (experts?.tokens[row] ?? null);
    const loads = written.get(layer) ?? (tokens === null ? undefined : [...utilisation(tokens)]);
    if (loads === undefined) return [];
    const bias = (row === undefined ? undefined : experts?.bias[row]) ?? known.get(layer) ?? null;
    return [{ layer, loads, tokens, bias, deadExperts: numDeadExperts(tokens ?? loads) }];
  });
  if (rows.length === 0) return null;
  const biasStep = experts === undefined ? (before?.biasStep ?? null) : step;
  const left = experts === undefined ? (layersLeftOut ?? 0) : 0;
  return { step, layers: rows, biasStep, layersLeftOut: left };
}

/** The newest is always kept. */
export function everySecond(frames: readonly ExpertFrame[]): ExpertFrame[] {
  return frames.filter((_, i) => i % 2 === 0 || i === frames.length - 1);
}

/** Frames in the order of their steps, thinned out so that the longest run fits in a page. */
export interface ExpertHistory {
  readonly frames: readonly ExpertFrame[];
  /** Of so many steps that told of experts, one is kept; and always the newest. */
  readonly stride: number;
  readonly numSeen: number;
}

export const EMPTY_HISTORY: ExpertHistory = { frames: [], stride: 1, numSeen: 0 };
export const MAX_FRAMES = 1024;

/**
 * The history with what whole lines of JSONL add to it. A run that went back to an earlier step
 * goes on from there: frames of steps that were undone are dropped.
 */
export function withLines(
  history: ExpertHistory,
  text: string,
  maxFrames: number = MAX_FRAMES,
): ExpertHistory {
  let { stride, numSeen } = history;
  let frames = [...history.frames];
  for (const line of text.split('\n')) {
    const frame = frameOfLine(parsed(line), frames.at(-1) ?? null);
    if (frame === null) continue;
    while ((frames.at(-1)?.step ?? -1) >= frame.step) frames.pop();
    // The newest is only lent its place, unless its turn had come.
    if (frames.length > 1 && (numSeen - 1) % stride !== 0) frames.pop();
    frames.push(frame);
    numSeen++;
    if (frames.length > maxFrames) {
      stride *= 2;
      frames = everySecond(frames);
    }
  }
  return { frames, stride, numSeen };
}

/** A line that is no JSON is the writer's trouble, and the view of runs tells of it. */
function parsed(line: string): unknown {
  if (line === '') return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** The history of a file that comes in pieces cut anywhere. */
export class HistoryReader {
  #rest = '';
  #history = EMPTY_HISTORY;

  get history(): ExpertHistory {
    return this.#history;
  }

  add(text: string): void {
    const all = this.#rest + text;
    const end = all.lastIndexOf('\n') + 1;
    this.#rest = all.slice(end);
    if (end > 0) this.#history = withLines(this.#history, all.slice(0, end));
  }

  /** The file was begun anew. */
  restart(): void {
    this.#rest = '';
    this.#history = EMPTY_HISTORY;
  }
}

export type Measure = 'load' | 'bias';

/** Layers as rows, experts as columns; NaN where a layer says nothing. */
export function gridOf({ layers }: ExpertFrame, measure: Measure): HeatGrid {
  const numColumns = Math.max(0, ...layers.map(({ loads }) => loads.length));
  const values = layers.flatMap((layer) => {
    const row = valuesOf(layer, measure);
    return Array.from({ length: numColumns }, (_, expert) => row?.[expert] ?? Number.NaN);
  });
  return { numRows: layers.length, numColumns, values };
}

/** A layer that no token went through has no loads: its zeros are no deaths. */
export function valuesOf(
  { loads, bias, tokens }: ExpertLayer,
  measure: Measure,
): readonly number[] | null {
  if (measure === 'bias') return bias;
  return tokens !== null && !tokens.some((count) => count > 0) ? null : loads;
}

export interface DeadExpert {
  readonly layer: number;
  readonly expert: number;
}

export function deadExperts(frame: ExpertFrame): readonly DeadExpert[] {
  const { numColumns, values } = gridOf(frame, 'load');
  return Array.from({ length: values.length }, (_, i) => i)
    .filter((i) => at(values, i) === 0)
    .map((i) => ({
      layer: at(frame.layers, Math.floor(i / numColumns)).layer,
      expert: i % numColumns,
    }));
}

/** Index of the frame of a step, or of the last before it; the newest where none is named. */
export function frameIndexAt({ frames }: ExpertHistory, step: number | null): number {
  if (step === null) return frames.length - 1;
  let index = -1;
  for (const [i, frame] of frames.entries()) if (frame.step <= step) index = i;
  return Math.max(index, Math.min(0, frames.length - 1));
}

export function maxVioOf({ loads }: ExpertLayer): number {
  return Math.max(0, ...loads) - 1;
}

/** Dead experts of one layer, as stretches of numbers: `[from, to]`, both ends included. */
export interface DeadLayer {
  readonly layer: number;
  readonly count: number;
  readonly stretches: readonly (readonly [number, number])[];
}

export function deadByLayer(frame: ExpertFrame): readonly DeadLayer[] {
  const layers = new Map<number, [number, number][]>();
  for (const { layer, expert } of deadExperts(frame)) {
    const stretches = layers.get(layer) ?? [];
    const last = stretches.at(-1);
    if (last?.[1] === expert - 1) last[1] = expert;
    else stretches.push([expert, expert]);
    layers.set(layer, stretches);
  }
  return [...layers].map(([layer, stretches]) => {
    const count = stretches.reduce((sum, [from, to]) => sum + to - from + 1, 0);
    return { layer, count, stretches };
  });
}
