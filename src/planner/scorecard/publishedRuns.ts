/** All published runs that judge the planner, and what each of them is a case of. */
import { type PublishedRun, publishedRun } from './publishedRun.ts';
import { a100Rows, ascendRows } from './runsA100Ascend.ts';
import { blackwellRows } from './runsBlackwell.ts';
import { h100Rows } from './runsH100.ts';

export const publishedRuns: readonly PublishedRun[] = [
  ...h100Rows,
  ...blackwellRows,
  ...a100Rows,
  ...ascendRows,
].map(publishedRun);

export function hasExperts({ model }: PublishedRun): boolean {
  return model.nRoutedExperts > 0;
}
