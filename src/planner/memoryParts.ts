/**
 * The parts of a rank's memory in the order in which reports show them, and the colour of each.
 */
import type { MemoryBreakdown } from './planReport.ts';

export const memoryParts: readonly {
  readonly key: keyof MemoryBreakdown;
  readonly name: string;
  /** Where columns are narrow. */
  readonly short: string;
  readonly kind: string;
}[] = [
  { key: 'weights', name: 'weights', short: 'weights', kind: 'weight' },
  { key: 'masterWeights', name: 'master weights', short: 'master', kind: 'sky' },
  { key: 'gradients', name: 'gradients', short: 'gradients', kind: 'backward' },
  { key: 'moments', name: 'optimizer moments', short: 'moments', kind: 'yellow' },
  { key: 'activations', name: 'activations', short: 'activations', kind: 'forward' },
  {
    key: 'communicationBuffers',
    name: 'communication buffers',
    short: 'buffers',
    kind: 'communication',
  },
  { key: 'reserve', name: 'workspace and reserve', short: 'reserve', kind: 'grey' },
];
