/** What every benchmark shares: its options and their bounds. */
import { MoebiusError } from '../../base/errors.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import type { OutputOptions } from '../output.ts';

export interface BenchOptions extends OutputOptions {
  /** A config.json or a preset's name; v3-mini for training, v3-small for serving. */
  readonly config?: string;
  /** Sequences at once: 8 in training, 1 in serving. */
  readonly batch?: number;
  /** Only shows that it runs: few tokens where no number is given, short measurements. */
  readonly tiny?: boolean;
  /** Operations by shape, not only by layout and types. */
  readonly shapes?: boolean;
  readonly kernels?: string;
}

/** `sequenceLength` → `--sequence-length` */
export function optionName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** @throws bench.length when sequences are longer than the model's positions */
export function checkLength(model: ModelConfig, needed: number, option: string): void {
  const { maxPositionEmbeddings } = model;
  if (needed <= maxPositionEmbeddings) return;
  throw new MoebiusError('bench.length', 'the sequences are longer than the model’s positions', {
    values: { positions: needed, maxPositionEmbeddings },
    hint: `Lower ${option}, so that sequences take ${maxPositionEmbeddings} positions or less.`,
  });
}
