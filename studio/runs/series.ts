/**
 * A run's curves, read from its metrics as they grow: text comes in pieces that may end anywhere,
 * columns of numbers come out.
 *
 * A run that goes on from an older checkpoint, or that its guard has set back, writes steps again
 * which it had written before. The file keeps both; a curve keeps the later, which is what the
 * weights went through: a point at a step drops every point at that step and beyond.
 */
import { type CurveFacts, FactsReader } from './curveFacts.ts';

export type CurveName =
  | 'loss'
  | 'mtpLoss'
  | 'bitsPerByte'
  | 'tokensPerSecond'
  | 'gradientNorm'
  | 'maxVio';

export const CURVES: readonly CurveName[] = [
  'loss',
  'mtpLoss',
  'bitsPerByte',
  'tokensPerSecond',
  'gradientNorm',
  'maxVio',
];

/** Two columns of one length; x grows strictly. A value that is no finite number is NaN. */
export interface Curve {
  readonly x: Float64Array;
  readonly y: Float64Array;
}

export interface Progress {
  readonly step: number;
  readonly numSteps: number;
  readonly tokens: number;
  readonly elapsedSeconds: number;
  /** As the run itself says it; null before its first step. */
  readonly remainingSeconds: number | null;
  /** How its last process ended; null while it goes on, or when it was killed. */
  readonly end: string | null;
}

export class RunSeries {
  readonly #columns: Readonly<Record<CurveName, Column>> = {
    loss: new Column(),
    mtpLoss: new Column(),
    bitsPerByte: new Column(),
    tokensPerSecond: new Column(),
    gradientNorm: new Column(),
    maxVio: new Column(),
  };
  #rest = '';
  #numUnreadable = 0;
  #progress: Progress = {
    step: 0,
    numSteps: 0,
    tokens: 0,
    elapsedSeconds: 0,
    remainingSeconds: null,
    end: null,
  };

  /** Takes the next piece of the file; what follows its last line break waits for the next one. */
  append(text: string): void {
    const whole = this.#rest + text;
    let start = 0;
    for (let end = whole.indexOf('\n'); end >= 0; end = whole.indexOf('\n', start)) {
      if (end > start) this.#readLine(whole.slice(start, end));
      start = end + 1;
    }
    this.#rest = whole.slice(start);
  }

  /** A view of the points so far, good until the next `append`. */
  curve(name: CurveName): Curve {
    return this.#columns[name].view();
  }

  /** Costs what is new since it was asked before. */
  facts(name: CurveName): CurveFacts | undefined {
    return this.#columns[name].facts();
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Lines that were no JSON: a run that was killed may leave half a line within its file. */
  get numUnreadable(): number {
    return this.#numUnreadable;
  }

  #readLine(line: string): void {
    const event = parseObject(line);
    if (event === undefined) {
      this.#numUnreadable++;
      return;
    }
    const step = numberOf(event.step);
    switch (event.kind) {
      case 'start':
        this.#note({ step, numSteps: numberOf(event.numSteps), end: null });
        return;
      case 'step':
        this.#readStep(event, step);
        return;
      case 'evaluation':
        this.#columns.bitsPerByte.put(step, numberOf(event.bitsPerByte));
        return;
      case 'end':
        this.#note({ end: String(recordOf(event.summary).end) });
        return;
      default:
        // Checkpoints, samples, interventions: no curve shows them.
        return;
    }
  }

  #readStep(event: JsonObject, step: number): void {
    const columns = this.#columns;
    columns.loss.put(step, numberOf(event.mainLoss));
    if (Array.isArray(event.mtpLossPerDepth) && event.mtpLossPerDepth.length > 0) {
      columns.mtpLoss.put(step, numberOf(event.mtpLoss));
    }
    columns.tokensPerSecond.put(step, numberOf(event.tokensPerSecond));
    columns.gradientNorm.put(step, numberOf(event.gradientNorm));
    if (event.balance !== null && event.balance !== undefined) {
      columns.maxVio.put(step, numberOf(recordOf(event.balance).maxVioMax));
    }
    // An evaluation comes after its step: one at this step is of an earlier life of the run.
    columns.bitsPerByte.dropFrom(step);
    this.#note({
      step,
      numSteps: numberOf(event.numSteps),
      tokens: numberOf(event.tokens),
      elapsedSeconds: numberOf(event.elapsedSeconds),
      remainingSeconds: numberOf(event.remainingSeconds),
      end: null,
    });
  }

  #note(changes: Partial<Progress>): void {
    this.#progress = { ...this.#progress, ...changes };
  }
}

/** Points by growing x, in arrays that double: 10⁵ appended points cost 17 moves. */
class Column {
  #x = new Float64Array(64);
  #y = new Float64Array(64);
  #length = 0;
  readonly #facts = new FactsReader();

  put(x: number, y: number): void {
    // A point without a place is on no curve.
    if (!Number.isFinite(x)) return;
    this.dropFrom(x);
    if (this.#length === this.#x.length) {
      this.#x = grown(this.#x);
      this.#y = grown(this.#y);
    }
    this.#x[this.#length] = x;
    this.#y[this.#length] = y;
    this.#length++;
  }

  dropFrom(x: number): void {
    const before = this.#length;
    while (this.#length > 0 && (this.#x[this.#length - 1] ?? 0) >= x) this.#length--;
    if (this.#length < before) this.#facts.forget();
  }

  facts(): CurveFacts | undefined {
    return this.#facts.read(this.view());
  }

  view(): Curve {
    return { x: this.#x.subarray(0, this.#length), y: this.#y.subarray(0, this.#length) };
  }
}

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
}

/** The metrics write NaN and infinities as strings; on a curve both are a gap. */
function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}
