/** What of the timeline stands in its address, and within which bounds. */
import { type ScheduleName, scheduleNames } from '../../src/config/parallelPlan.ts';
import { choice, integer, number, type Shape, text } from '../app/router.ts';

import type { Alignment } from './requestRows.ts';

export type PictureName = 'schedule' | 'steps' | 'requests' | 'trace';

export interface TimelineParameters {
  readonly picture: PictureName;
  /** A run's id, or `serving`; empty for the newest run. */
  readonly source: string;
  /** 0 for the newest. */
  readonly step: number;
  readonly schedule: ScheduleName;
  readonly pp: number;
  readonly microBatches: number;
  readonly chunks: number;
  /** Pipelines beside one another (data parallelism), all alike. */
  readonly replicas: number;
  readonly F: number;
  readonly B: number;
  readonly W: number;
  readonly FB: number;
  /** Of requests: where the time of each is counted from. */
  readonly alignment: Alignment;
  /** The window, in the units of the picture; both 0 for all. */
  readonly from: number;
  readonly to: number;
  /** In pixels, below 1 where all of very many rows are shown; 0 for what suits their number. */
  readonly rowHeight: number;
}

const price = { least: 0.05, most: 1000 };

export const MOST_RANKS = 2048;
export const MOST_MICRO_BATCHES = 4096;

export const timelineParameters: Shape<TimelineParameters> = {
  picture: choice<PictureName>(['schedule', 'steps', 'requests', 'trace'], 'schedule'),
  source: text(''),
  step: integer({ fallback: 0, least: 0 }),
  schedule: choice<ScheduleName>(scheduleNames, 'dualpipe'),
  pp: integer({ fallback: 8, least: 1, most: MOST_RANKS }),
  microBatches: integer({ fallback: 20, least: 1, most: MOST_MICRO_BATCHES }),
  chunks: integer({ fallback: 2, least: 1, most: 8 }),
  replicas: integer({ fallback: 1, least: 1, most: MOST_RANKS }),
  F: number({ fallback: 1, ...price }),
  B: number({ fallback: 2, ...price }),
  W: number({ fallback: 1, ...price }),
  FB: number({ fallback: 3, ...price }),
  alignment: choice<Alignment>(['clock', 'arrival'], 'clock'),
  from: number({ fallback: 0 }),
  to: number({ fallback: 0 }),
  rowHeight: number({ fallback: 0, least: 0, most: 40 }),
};
