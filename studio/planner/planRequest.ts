/**
 * What the page asks of the planner: the options of `moebius plan train` that need no file, under
 * the same names.
 */
import type { AskedPlan } from '../../src/planner/request/answerPlan.ts';

export type PlanRequest = Omit<AskedPlan, 'calibration' | 'idea' | 'expertLoads'>;

/** What an address without parameters asks: the run that the report of DeepSeek-V3 describes. */
export const firstRequest: PlanRequest = {
  model: 'deepseek-v3',
  cluster: 'h800x2048',
  layout: 'pp16,ep64,zero1',
  mtp: true,
};
