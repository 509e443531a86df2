/**
 * What one step did, of a run's metrics or of a server, as rows: what really ran, and right below,
 * on the same scale, what the simulated executor said of the same program.
 *
 *     rank 0  real       ├────── F0 ──────┤├────────── B0 ──────────┤├ optimizer ┤
 *             simulated  ├───── F0 ─────┤├───────── B0 ────────┤├ optimizer ┤
 */
import { SPAN_OF_DRAFTS, type Span, wallSeconds } from '../../src/program/span.ts';
import {
  type RowSource,
  rowsOf,
  type SpanKind,
  type Timeline,
  type TimelineSpan,
  timelineOf,
} from '../draw/timelineIndex.ts';

export type StepSpan = Omit<Span, 'instruction'>;

export interface StepSpans {
  readonly step: number;
  /** In seconds since the first. */
  readonly real: readonly StepSpan[];
  /** Empty where nothing was simulated. */
  readonly simulated: readonly StepSpan[];
}

export interface StepPicture {
  readonly timeline: Timeline;
  /** Of what is there. */
  readonly summaries: readonly { readonly source: RowSource; readonly seconds: number }[];
}

/** Steps that are kept: the newest. */
const MOST_STEPS = 1000;

/** Steps with spans in lines of a run's metrics, which come in pieces cut anywhere. */
export class StepReader {
  #rest = '';
  #steps: readonly StepSpans[] = [];
  #numDropped = 0;

  get steps(): readonly StepSpans[] {
    return this.#steps;
  }

  /** How many were too old to be kept. */
  get numDropped(): number {
    return this.#numDropped;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    const found = lines.flatMap(stepIn);
    if (found.length === 0) return;
    // A resumed run tells of steps again.
    const first = found[0]?.step ?? 0;
    const all = [...this.#steps.filter(({ step }) => step < first), ...found];
    const numDropped = Math.max(0, all.length - MOST_STEPS);
    this.#numDropped += numDropped;
    this.#steps = all.slice(numDropped);
  }

  /** The file was begun anew. */
  restart(): void {
    this.#rest = '';
    this.#steps = [];
    this.#numDropped = 0;
  }
}

/** A line that is no JSON is the writer's trouble, and the view of runs tells of it. */
function stepIn(line: string): readonly StepSpans[] {
  if (!line.includes('"timeline"')) return [];
  try {
    const { step, timeline } = JSON.parse(line) as { step?: number; timeline?: StepSpans };
    if (step === undefined || timeline === undefined) return [];
    return [{ step, real: timeline.real, simulated: timeline.simulated }];
  } catch {
    return [];
  }
}

export function drawStep({ real, simulated }: StepSpans): StepPicture {
  const sources = (
    [
      ['real', real],
      ['simulated', simulated],
    ] as const
  ).filter(([, spans]) => spans.length > 0);
  const ranks = [...new Set([...real, ...simulated].map(({ rank }) => rank))].sort((a, b) => a - b);
  const rows = ranks.flatMap((rank) =>
    sources.flatMap(([source, spans]) => {
      const own = spans.filter((span) => span.rank === rank);
      const streams = [...new Set(own.map(({ stream }) => stream ?? ''))];
      const end = Math.max(0, ...spans.map((span) => span.end));
      return streams.flatMap((stream) =>
        rowsOf(
          { name: `${rank} ${stream}`.trim(), source, bubble: { from: 0, to: end } },
          withoutDrafts(own.filter((span) => (span.stream ?? '') === stream)).map(drawn),
        ),
      );
    }),
  );
  const summaries = sources.map(([source, spans]) => ({
    source,
    seconds: wallSeconds(full(spans)),
  }));
  return { timeline: timelineOf(rows), summaries };
}

/** Drafts are part of the sample that asks for them: it ends where they begin. */
function withoutDrafts(spans: readonly StepSpan[]): readonly StepSpan[] {
  return spans.map((span, index) => {
    const next = spans[index + 1];
    const isCut = next?.name === SPAN_OF_DRAFTS && next.start <= span.end;
    return isCut ? { ...span, end: next.start } : span;
  });
}

/** Times since the step's first span, as an engine's clock began long before. */
export function sinceItsFirst({ step, real, simulated }: StepSpans): StepSpans {
  return { step, real: moved(real), simulated: moved(simulated) };
}

function moved(spans: readonly StepSpan[]): readonly StepSpan[] {
  const first = Math.min(...spans.map(({ start }) => start));
  return spans.map((span) => ({ ...span, start: span.start - first, end: span.end - first }));
}

function full(spans: readonly StepSpan[]): readonly Span[] {
  return spans.map((span, instruction) => ({ ...span, instruction }));
}

function drawn({ name, start, end, stage, microBatch }: StepSpan): TimelineSpan {
  return { start, end, kind: kindOf(name), label: labelOf(name, stage, microBatch) };
}

const KINDS: Readonly<Record<string, SpanKind>> = {
  forward: 'forward',
  backward: 'backward',
  backwardInput: 'backward',
  backwardWeight: 'weight',
  forwardBackward: 'pair',
  reduceGradients: 'message',
  optimizerStep: 'optimizer',
  updateBias: 'optimizer',
  loadMicroBatch: 'wait',
  prefill: 'prefill',
  decode: 'decode',
  sample: 'sample',
  [SPAN_OF_DRAFTS]: 'draft',
  fillDrafts: 'draft',
};

function kindOf(name: string): SpanKind {
  return KINDS[name] ?? 'compute';
}

const LETTERS: Readonly<Record<string, string>> = {
  forward: 'F',
  backward: 'B',
  backwardInput: 'I',
  backwardWeight: 'W',
};

/** Passes as schedules write them, `0F3`; others by their name. */
function labelOf(name: string, stage: number | undefined, microBatch: number | undefined): string {
  const letter = LETTERS[name];
  if (letter !== undefined) return `${stage ?? 0}${letter}${microBatch ?? 0}`;
  return microBatch === undefined ? name : `${name} ${microBatch}`;
}
