/**
 * TensorBoard event files, without Python: scalars for curves, text for samples, histograms for
 * expert loads. `tensorboard --logdir` reads them as its own.
 *
 *     record = length (8 bytes) │ masked CRC of length │ event │ masked CRC of event
 *     event  = wall time, step, summary { tag, value }          as protocol buffers
 */
import type { ByteSink } from '../base/byteSource.ts';
import { maskedCrc32c } from './crc32c.ts';
import { ProtobufWriter } from './protobuf.ts';

/** Field numbers of `event.proto`, `summary.proto` and `tensor.proto`. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const VALUE = { tag: 1, simpleValue: 2, histogram: 5, tensor: 8, metadata: 9 } as const;
const SUMMARY_VALUE = 1;
const TENSOR = { dtype: 1, shape: 2, strings: 8 } as const;
const SHAPE_DIM = 2;
const DIM_SIZE = 1;
const DT_STRING = 7;
const METADATA_PLUGIN = 1;
const PLUGIN_NAME = 1;
const HISTOGRAM = {
  min: 1,
  max: 2,
  count: 3,
  sum: 4,
  sumOfSquares: 5,
  limits: 6,
  buckets: 7,
} as const;

export class TensorBoardWriter {
  readonly #sink: ByteSink;
  readonly #wallTime: () => number;
  #hasBegun = false;

  /** @param wallTime seconds since 1970: TensorBoard shows curves over it */
  constructor(sink: ByteSink, wallTime: () => number) {
    this.#sink = sink;
    this.#wallTime = wallTime;
  }

  async scalars(step: number, scalars: readonly (readonly [string, number])[]): Promise<void> {
    if (scalars.length === 0) return;
    await this.#event(step, (summary) => {
      for (const [tag, value] of scalars) {
        summary.message(SUMMARY_VALUE, (entry) =>
          entry.text(VALUE.tag, tag).float(VALUE.simpleValue, value),
        );
      }
    });
  }

  /** @param text Markdown, as the dashboard renders it */
  async text(step: number, tag: string, text: string): Promise<void> {
    await this.#event(step, (summary) => {
      summary.message(SUMMARY_VALUE, (entry) =>
        entry
          .text(VALUE.tag, tag)
          .message(VALUE.tensor, (tensor) =>
            tensor
              .integer(TENSOR.dtype, DT_STRING)
              .message(TENSOR.shape, (shape) =>
                shape.message(SHAPE_DIM, (dim) => dim.integer(DIM_SIZE, 1)),
              )
              .text(TENSOR.strings, text),
          )
          .message(VALUE.metadata, (metadata) =>
            metadata.message(METADATA_PLUGIN, (plugin) => plugin.text(PLUGIN_NAME, 'text')),
          ),
      );
    });
  }

  /** Finite values as thirty even buckets between their ends; nothing for no values. */
  async histogram(step: number, tag: string, values: ArrayLike<number>): Promise<void> {
    if (values.length === 0) return;
    const { min, max, sum, sumOfSquares, limits, buckets } = bucketsOf(values);
    await this.#event(step, (summary) => {
      summary.message(SUMMARY_VALUE, (entry) =>
        entry
          .text(VALUE.tag, tag)
          .message(VALUE.histogram, (histogram) =>
            histogram
              .double(HISTOGRAM.min, min)
              .double(HISTOGRAM.max, max)
              .double(HISTOGRAM.count, values.length)
              .double(HISTOGRAM.sum, sum)
              .double(HISTOGRAM.sumOfSquares, sumOfSquares)
              .packedDoubles(HISTOGRAM.limits, limits)
              .packedDoubles(HISTOGRAM.buckets, buckets),
          ),
      );
    });
  }

  async close(): Promise<void> {
    await this.#begin();
    await this.#sink.close();
  }

  async #event(step: number, write: (summary: ProtobufWriter) => void): Promise<void> {
    await this.#begin();
    const event = new ProtobufWriter()
      .double(EVENT.wallTime, this.#wallTime())
      .integer(EVENT.step, step)
      .message(EVENT.summary, write);
    await this.#sink.write(record(event.finish()));
  }

  /** The first event of a file only says what kind of file it is. */
  async #begin(): Promise<void> {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const event = new ProtobufWriter()
      .double(EVENT.wallTime, this.#wallTime())
      .text(EVENT.fileVersion, 'brain.Event:2');
    await this.#sink.write(record(event.finish()));
  }
}

function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return bytes;
}

interface Buckets {
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly sumOfSquares: number;
  /** Upper end of each bucket. */
  readonly limits: readonly number[];
  readonly buckets: readonly number[];
}

const NUM_BUCKETS = 30;

function bucketsOf(values: ArrayLike<number>): Buckets {
  let [min, max, sum, sumOfSquares] = [Infinity, -Infinity, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    sumOfSquares += value * value;
  }
  // Values that are equal, or all but equal, still need buckets of some width.
  const width = (max - min) / NUM_BUCKETS || 1 / NUM_BUCKETS;
  const buckets = new Array<number>(NUM_BUCKETS).fill(0);
  for (let i = 0; i < values.length; i++) {
    const index = Math.min(NUM_BUCKETS - 1, Math.floor(((values[i] as number) - min) / width));
    buckets[index] = (buckets[index] ?? 0) + 1;
  }
  const limits = buckets.map((_, index) => min + width * (index + 1));
  return { min, max, sum, sumOfSquares, limits, buckets };
}
