/**
 * The phases of a step in the order of DeepSeek's table (ISCA 2025, table 4), with what each counts
 * and its colour.
 */
import type { StepPhases } from './planReport.ts';

export const phaseNames: readonly {
  readonly key: keyof StepPhases;
  readonly kind: string;
  readonly what: string;
}[] = [
  { key: '1F', kind: 'forward', what: 'forward passes alone' },
  { key: 'bubble', kind: 'bubble', what: 'waiting' },
  { key: '1B', kind: 'backward', what: 'backward passes alone' },
  { key: '1W', kind: 'weight', what: 'weight gradients alone' },
  { key: '1F1B', kind: 'sky', what: 'forward over backward' },
  { key: 'optimizer', kind: 'optimizer', what: 'optimizer step' },
];
