/**
 * Spans as a Chrome trace (the Trace Event Format), which Perfetto and chrome://tracing show: a
 * process is a rank, a thread one of its streams, an arrow a message from its send to the pass that
 * it feeds.
 *
 *     { "schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": [
 *       {"ph":"M", "name":"process_name", …}           who
 *       {"ph":"X", "name":"0F3", "cat":"forward", "ts", "dur", "pid", "tid", "args"}   µs
 *       {"ph":"s" | "f", "id", …}                      an arrow's tail and head
 *
 * A step of thousands of ranks is as many events as no viewer and no string can hold. So ranks that
 * do the same are one class, each class is a file, and a file is read piece by piece.
 */
import { at } from '../base/assert.ts';
import type { Program, TrainingInstruction } from './instruction.ts';
import { matchMessages } from './messages.ts';
import { formatAction } from './notation.ts';
import type { Span } from './span.ts';

export interface TraceEvent {
  readonly ph: 'X' | 'M' | 's' | 'f';
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id?: number;
  readonly bp?: 'e';
  readonly args?: Readonly<Record<string, string | number>>;
}

/** Ranks that are drawn in one file. */
export interface RankClass {
  /** Becomes part of the file's name. */
  readonly name: string;
  readonly ranks: readonly number[];
  /** How many ranks each of them stands for. */
  readonly numAlike?: number;
}

export interface ChromeTraceOptions {
  readonly spans: readonly Span[];
  /**
   * What ran: labels and arrows come from it. Without it spans keep their names, without arrows.
   */
  readonly programs?: readonly Program<TrainingInstruction>[];
  /** One file for each; all ranks in one file by default. */
  readonly classes?: readonly RankClass[];
}

export interface TraceFile {
  readonly name: string;
  /** The file's text in order, made while it is read. */
  readonly pieces: () => Generator<string>;
}

/** One file per class, none of them made before it is asked for. */
export function* chromeTraceFiles(options: ChromeTraceOptions): Generator<TraceFile> {
  const { spans, classes } = options;
  if (classes === undefined) {
    const ranks = [...new Set(spans.map(({ rank }) => rank))].sort((a, b) => a - b);
    yield fileOf({ name: 'trace.json', options, drawn: { name: 'all', ranks } });
    return;
  }
  for (const drawn of classes) {
    yield fileOf({ name: `trace-${drawn.name}.json`, options, drawn });
  }
}

interface FileParts {
  readonly name: string;
  readonly options: ChromeTraceOptions;
  readonly drawn: RankClass;
}

function fileOf({ name, options, drawn }: FileParts): TraceFile {
  return {
    name,
    pieces: function* () {
      yield '{"schemaVersion":1,"displayTimeUnit":"ms","traceEvents":[\n';
      let isFirst = true;
      for (const event of chromeTraceEvents(options, drawn)) {
        yield `${isFirst ? '' : ',\n'}${JSON.stringify(event)}`;
        isFirst = false;
      }
      yield '\n]}\n';
    },
  };
}

/**
 * The events of one class: names of ranks and streams, then spans, then arrows within the class.
 */
export function* chromeTraceEvents(
  options: ChromeTraceOptions,
  drawn: RankClass,
): Generator<TraceEvent> {
  const shown = new Set(drawn.ranks);
  const spans = options.spans.filter(({ rank }) => shown.has(rank));
  const programs = options.programs?.filter(({ rank }) => shown.has(rank)) ?? [];
  const streams = new StreamNumbers();
  for (const { rank, stream } of spans) streams.add(rank, stream ?? 'compute');
  yield* streams.names(drawn.numAlike ?? 1);
  const instructions = new Map(programs.map((program) => [program.rank, program.instructions]));
  for (const span of spans) {
    const instruction = instructions.get(span.rank)?.[span.instruction];
    yield spanEvent(span, { instruction, tid: streams.of(span.stream ?? 'compute') });
  }
  yield* arrows(spans, { programs: options.programs ?? [], shown, streams });
}

/** Streams have the same number on every rank, so that a viewer lines them up. */
class StreamNumbers {
  readonly #numbers = new Map([
    ['compute', 1],
    ['communication', 2],
    ['send', 3],
    ['recv', 4],
  ]);
  readonly #ofRanks = new Map<number, Set<string>>();

  add(rank: number, stream: string): void {
    if (!this.#numbers.has(stream)) this.#numbers.set(stream, this.#numbers.size + 1);
    const known = this.#ofRanks.get(rank) ?? new Set();
    this.#ofRanks.set(rank, known.add(stream));
  }

  of(stream: string): number {
    return this.#numbers.get(stream) ?? 0;
  }

  *names(numAlike: number): Generator<TraceEvent> {
    const alike = numAlike > 1 ? `, one of ${numAlike} alike` : '';
    for (const [rank, streams] of this.#ofRanks) {
      const of = { ph: 'M', pid: rank } as const;
      yield { ...of, name: 'process_name', tid: 0, args: { name: `rank ${rank}${alike}` } };
      yield { ...of, name: 'process_sort_index', tid: 0, args: { sort_index: rank } };
      for (const stream of streams) {
        const tid = this.of(stream);
        yield { ...of, name: 'thread_name', tid, args: { name: stream } };
        yield { ...of, name: 'thread_sort_index', tid, args: { sort_index: tid } };
      }
    }
  }
}

interface Drawing {
  readonly instruction: TrainingInstruction | undefined;
  readonly tid: number;
}

function spanEvent(span: Span, { instruction, tid }: Drawing): TraceEvent {
  const start = microseconds(span.start);
  const kind = span.name.split('/')[0] ?? span.name;
  return {
    ph: 'X',
    name: labelOf(span, instruction),
    cat: categories[kind] ?? kind,
    // In whole nanoseconds: spans that touch still touch, and none begins before another's end.
    ts: start,
    dur: Number((microseconds(span.end) - start).toFixed(3)),
    pid: span.rank,
    tid,
    args: {
      instruction: span.instruction,
      ...(span.stage === undefined ? {} : { stage: span.stage }),
      ...(span.microBatch === undefined ? {} : { microBatch: span.microBatch }),
      ...detailsOf(instruction),
    },
  };
}

function microseconds(seconds: number): number {
  return Math.round(seconds * 1e9) / 1e3;
}

const categories: Readonly<Record<string, string>> = {
  backwardInput: 'backward',
  backwardWeight: 'weight',
  forwardBackward: 'pair',
  send: 'message',
  recv: 'message',
  reduceGradients: 'optimizer',
  optimizerStep: 'optimizer',
  updateBias: 'optimizer',
};

/** A part keeps its own name; a pass is written as in the notation of schedules. */
function labelOf(span: Span, instruction: TrainingInstruction | undefined): string {
  if (instruction === undefined || span.name.includes('/')) return span.name;
  switch (instruction.kind) {
    case 'forward':
    case 'backward':
    case 'backwardInput':
    case 'backwardWeight':
      return formatAction(instruction);
    case 'forwardBackward': {
      const { forward, backward } = instruction;
      const words = [
        formatAction({ kind: 'forward', ...forward }),
        formatAction({ kind: 'backward', ...backward }),
      ];
      return words.join(' & ');
    }
    case 'send':
    case 'recv':
      return `${instruction.kind} ${instruction.content}`;
    default:
      return span.name;
  }
}

function detailsOf(
  instruction: TrainingInstruction | undefined,
): Readonly<Record<string, string | number>> {
  if (instruction?.kind === 'forwardBackward') {
    const { stage, microBatch } = instruction.backward;
    return { backwardStage: stage, backwardMicroBatch: microBatch };
  }
  if (instruction?.kind === 'send' || instruction?.kind === 'recv') {
    return { content: instruction.content, peer: instruction.peer };
  }
  return {};
}

interface Shown {
  readonly programs: readonly Program<TrainingInstruction>[];
  readonly shown: ReadonlySet<number>;
  readonly streams: StreamNumbers;
}

/** Messages between ranks that are both shown; an arrow's head is the pass that waited for it. */
function* arrows(
  spans: readonly Span[],
  { programs, shown, streams }: Shown,
): Generator<TraceEvent> {
  if (programs.length === 0) return;
  const { firsts, messages } = matchMessages(programs);
  const places = new Map(programs.map(({ rank }, position) => [rank, position]));
  const passes = new Map<string, Span>();
  const instructionOf = (span: Span): TrainingInstruction | undefined =>
    at(programs, places.get(span.rank) ?? 0).instructions[span.instruction];
  for (const span of spans) {
    if (!places.has(span.rank) || span.name.includes('/')) continue;
    for (const key of passKeys(instructionOf(span))) passes.set(`${span.rank} ${key}`, span);
  }
  for (const span of spans) {
    const position = places.get(span.rank);
    const instruction = position === undefined ? undefined : instructionOf(span);
    if (position === undefined || instruction === undefined) continue;
    if (instruction.kind !== 'send' && instruction.kind !== 'recv') continue;
    if (!shown.has(instruction.peer)) continue;
    const { kind, content, stage, microBatch } = instruction;
    const id = at(messages, at(firsts, position) + span.instruction);
    const event = { name: content, cat: 'message', id, pid: span.rank } as const;
    if (kind === 'send') {
      const tid = streams.of(span.stream ?? 'compute');
      yield { ...event, ph: 's', tid, ts: microseconds(span.start) };
      continue;
    }
    const reader = content === 'activation' ? `F ${stage + 1}` : `B ${stage - 1}`;
    const head = passes.get(`${span.rank} ${reader} ${microBatch}`) ?? span;
    const tid = streams.of(head.stream ?? 'compute');
    yield { ...event, ph: 'f', bp: 'e', tid, ts: microseconds(head.start) };
  }
}

function passKeys(instruction: TrainingInstruction | undefined): string[] {
  switch (instruction?.kind) {
    case 'forward':
      return [`F ${instruction.stage} ${instruction.microBatch}`];
    case 'backward':
    case 'backwardInput':
      return [`B ${instruction.stage} ${instruction.microBatch}`];
    case 'forwardBackward':
      return [
        ...passKeys({ kind: 'forward', ...instruction.forward }),
        ...passKeys({ kind: 'backward', ...instruction.backward }),
      ];
    default:
      return [];
  }
}
