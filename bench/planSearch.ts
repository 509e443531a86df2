/**
 * How many plans a second the cheap model prices: V3 on 2,048 H800, memory, split, bubble and
 * optimiser of each, and how long one plan takes in full. The ratio is what the two levels save.
 *
 *   node bench/planSearch.ts [--gpus 2048] [--json]
 */
import { parseArgs } from 'node:util';
import { findCluster } from '../src/config/clusters/clusters.ts';
import { deepseekV3 } from '../src/config/presets/deepseekV3.ts';
import { PriceBook } from '../src/planner/priceBook.ts';
import { CheapModel } from '../src/planner/search/cheapModel.ts';
import { evaluatePlan, plansOn } from '../src/planner/search/evaluatePlan.ts';
import type { SearchRequest } from '../src/planner/search/searchRequest.ts';
import { simulatePlan } from '../src/planner/simulatePlan.ts';

const { values } = parseArgs({
  options: { gpus: { type: 'string', default: '2048' }, json: { type: 'boolean', default: false } },
});

const cluster = findCluster(`h800x${values.gpus}`);
const model = deepseekV3;
const request: SearchRequest = {
  ...{ model, cluster, globalBatch: 15360, sequenceLength: 4096 },
  ...{ precision: 'fp8', mtp: true, totalTokens: null },
};

const now = (): number => performance.now() / 1000;
const plans = plansOn(request, cluster);
const cheap = new CheapModel(new PriceBook({ model, cluster }));
const begin = now();
const evaluated = plans.map((plan) => evaluatePlan(cheap, plan));
const cheapSeconds = now() - begin;
const top = evaluated
  .filter(({ overBytes }) => overBytes <= 0)
  .sort((a, b) => a.cheapSeconds - b.cheapSeconds)
  .slice(0, 10);
const beginFull = now();
// Each by itself, as without a search: nothing is shared.
for (const { plan } of top) simulatePlan({ model, plan, cluster });
const fullSeconds = (now() - beginFull) / Math.max(1, top.length);

const result = {
  numPlans: plans.length,
  plansPerSecond: plans.length / cheapSeconds,
  fullSecondsPerPlan: fullSeconds,
  fullOverCheap: (fullSeconds * plans.length) / cheapSeconds,
  peakMiB: process.resourceUsage().maxRSS / 1024,
};
if (values.json) console.log(JSON.stringify(result));
else for (const [name, value] of Object.entries(result)) console.log(name, value.toFixed(2));
