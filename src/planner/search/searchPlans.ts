/**
 * The best plan of a model on a cluster, or on several sizes of it: every plan that can run goes
 * through the cheap model, the ten that look fastest on each size through the full simulation.
 *
 *     enumerate ─► memory, cheap step ─► top ten ─► programs walked ─► best, Pareto front, reasons
 *
 * Ranks that are alike are folded: a plan is one pipeline, whatever the number of replicas.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes } from '../../base/units.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { withNumGpus } from '../../config/clusters/clusters.ts';
import { formatLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import { runCost, utilization } from '../../config/runCost.ts';
import { calibrated, PriceBook } from '../priceBook.ts';
import { formatDays, formatDollars } from '../quantities.ts';
import { simulatePlan } from '../simulatePlan.ts';
import { CheapModel } from './cheapModel.ts';
import { type Evaluated, evaluatePlan, fitOf, plansOn } from './evaluatePlan.ts';
import { paretoFront } from './paretoFront.ts';
import { reasonOf } from './reasons.ts';
import type { SearchAim, SearchedPlan, SearchRequest, SearchResult } from './searchRequest.ts';
import { WalkShapes } from './walkShapes.ts';

/**
 * @throws search.noPlan where the constraints leave nothing; search.memory where nothing fits;
 * search.deadline, search.budget where nothing keeps them; each with the nearest miss
 */
export function searchPlans(request: SearchRequest): SearchResult {
  const { clock, gpuCounts = [request.cluster.numGpus] } = request;
  const begin = clock?.now() ?? 0;
  const walks = new WalkShapes();
  const traces: PriceBook['traces'] = new Map();
  const searched = gpuCounts.flatMap((numGpus) =>
    searchSize(request, { cluster: withNumGpus(request.cluster, numGpus), walks, traces }),
  );
  if (searched.length === 0) throw noPlan(request, gpuCounts);
  const fitting = searched.filter(({ overBytes }) => overBytes <= 0);
  if (fitting.length === 0) throw nothingFits(searched);
  const aim = aimOf(request);
  const simulated = fitting.filter(({ isSimulated }) => isSimulated).sort(by(aim));
  const kept = simulated.filter((plan) => keepsLimits(plan, request));
  if (kept.length === 0) throw nothingKeeps(simulated, request);
  const best = at(kept, 0);
  const pareto = paretoFront(simulated);
  const told = searched.map(
    (plan): SearchedPlan => ({
      ...plan,
      isBest: plan === best,
      reason: reasonOf(plan, { request, best, simulated, pareto, numFitting: fitting.length }),
    }),
  );
  const order = new Map(searched.map((plan, index) => [plan, at(told, index)]));
  const toldOf = (plan: SearchedPlan): SearchedPlan => order.get(plan) ?? plan;
  return {
    candidates: told.sort((a, b) => group(a) - group(b) || by(aim)(a, b)),
    best: toldOf(best),
    pareto: pareto.map(toldOf),
    numPlans: searched.length,
    numFitting: fitting.length,
    seconds: clock === undefined ? null : clock.now() - begin,
  };
}

export function aimOf({ aim, deadlineDays, budgetDollars }: SearchRequest): SearchAim {
  return aim ?? (deadlineDays !== undefined && budgetDollars === undefined ? 'money' : 'time');
}

function by(aim: SearchAim): (a: SearchedPlan, b: SearchedPlan) => number {
  const time = (plan: SearchedPlan): number => plan.days ?? plan.stepSeconds;
  const money = (plan: SearchedPlan): number => plan.dollars;
  const [first, second] = aim === 'time' ? [time, money] : [money, time];
  return (a, b) =>
    first(a) - first(b) || second(a) - second(b) || a.peakMemoryBytes - b.peakMemoryBytes;
}

function group({ isBest, isSimulated, overBytes }: SearchedPlan): number {
  if (isBest) return 0;
  return isSimulated ? 1 : overBytes <= 0 ? 2 : 3;
}

interface SizeSetting {
  readonly cluster: ClusterSpec;
  readonly walks: WalkShapes;
  readonly traces: PriceBook['traces'];
}

/** Plans between two reports of progress. */
const PROGRESS_EVERY = 100;

/** All plans on one cluster size, the most promising simulated; none has its reason yet. */
function searchSize(request: SearchRequest, setting: SizeSetting): SearchedPlan[] {
  const { cluster, walks, traces } = setting;
  const { model, imbalance, calibration, numSimulated = 10 } = request;
  const plans = plansOn(request, cluster);
  if (plans.length === 0) return [];
  const book = new PriceBook({
    ...{ model, cluster, traces },
    ...(imbalance === undefined ? {} : { imbalance }),
    ...(calibration === undefined ? {} : calibrated(cluster, calibration)),
  });
  const cheap = new CheapModel(book, walks);
  const named = plans.map((plan, priced) => {
    if (priced % PROGRESS_EVERY === 0) {
      request.onProgress?.({ numGpus: cluster.numGpus, priced, total: plans.length });
    }
    return evaluatePlan(cheap, plan);
  });
  const auto = request.recomputes === undefined ? withAuto(top(named, numSimulated)) : [];
  const evaluated = [...named, ...auto.map((plan) => evaluatePlan(cheap, plan))];
  const promising = new Set([...top(named, numSimulated), ...top(evaluated, numSimulated)]);
  return evaluated.map((each) => {
    if (!promising.has(each)) {
      return searchedPlan(request, { cluster, evaluated: each, simulated: null });
    }
    const { plan, recompute } = each;
    const options = { model, plan, cluster, book };
    const { step, stages } = simulatePlan(recompute === null ? options : { ...options, recompute });
    // Its stages are the ones that count, should the cheap model have cut others.
    const fit = recompute === null ? fitOf(book, plan, stages) : {};
    const known: Evaluated = { ...each, ...fit };
    const simulated = known.overBytes <= 0 ? step.seconds : null;
    return searchedPlan(request, { cluster, evaluated: known, simulated });
  });
}

/** Those that fit and look fastest. */
function top(evaluated: readonly Evaluated[], count: number): Evaluated[] {
  return evaluated
    .filter(({ overBytes }) => overBytes <= 0)
    .sort((a, b) => a.cheapSeconds - b.cheapSeconds)
    .slice(0, count);
}

/** The same plans, recomputed layer by layer and not by name; each once. */
function withAuto(evaluated: readonly Evaluated[]): TrainingPlan[] {
  const plans = new Map<string, TrainingPlan>();
  for (const { plan } of evaluated) {
    if (plan.recompute === 'none') continue;
    const auto: TrainingPlan = { ...plan, recompute: 'auto' };
    plans.set(labelOf(auto), auto);
  }
  return [...plans.values()];
}

function searchedPlan(
  request: SearchRequest,
  args: {
    readonly cluster: ClusterSpec;
    readonly evaluated: Evaluated;
    readonly simulated: number | null;
  },
): SearchedPlan {
  const { cluster, evaluated, simulated } = args;
  const { isHostOver: _, recompute: __, cheapSeconds, ...rest } = evaluated;
  const { model, globalBatch, sequenceLength, totalTokens } = request;
  const tokensPerStep = globalBatch * sequenceLength;
  const stepSeconds = simulated ?? cheapSeconds;
  const { numGpus, price, gpu } = cluster;
  const timed = { tokensPerStep, stepSeconds };
  const cost = runCost({ ...timed, totalTokens: totalTokens ?? tokensPerStep, numGpus, price });
  const use = utilization({
    ...{ model, ...timed, sequenceLength, numGpus, mtp: false },
    peakFlops: gpu.peakFlops.bf16,
  });
  return {
    ...rest,
    label: labelOf(evaluated.plan),
    ...{ stepSeconds, cheapSeconds },
    days: totalTokens === null ? null : cost.days,
    dollars: cost.dollars,
    mfuCausal: use.mfuCausal,
    isBest: false,
    isSimulated: simulated !== null,
    reason: '',
  };
}

/** "pp16,dp128,ep64,zero1 dualpipe mb1 v3". */
export function labelOf(plan: TrainingPlan): string {
  const { layout, schedule, chunksPerRank, microBatchSize, recompute } = plan;
  const chunks = schedule === 'interleaved-1f1b' ? `×${chunksPerRank}` : '';
  return `${formatLayout(layout)} ${schedule}${chunks} mb${microBatchSize} ${recompute}`;
}

function keepsLimits(plan: SearchedPlan, { deadlineDays, budgetDollars }: SearchRequest): boolean {
  const isInTime = deadlineDays === undefined || (plan.days ?? 0) <= deadlineDays;
  return isInTime && (budgetDollars === undefined || plan.dollars <= budgetDollars);
}

function noPlan(request: SearchRequest, gpuCounts: readonly number[]): MoebiusError {
  const { layout = {}, ranges = {}, schedules, microBatchSizes, globalBatch } = request;
  return new MoebiusError(
    'search.noPlan',
    `no plan on ${gpuCounts.join(', ')} GPUs keeps what was fixed`,
    {
      values: { gpuCounts, layout, ranges, schedules, microBatchSizes, globalBatch },
      hint:
        'Fix fewer factors: pp × tp × dp is the number of GPUs, and dp × micro-batch divides ' +
        'the batch.',
    },
  );
}

function nothingFits(searched: readonly SearchedPlan[]): MoebiusError {
  const nearest = searched.reduce((a, b) => (b.overBytes < a.overBytes ? b : a));
  const { label, overBytes, fullestRank, numGpus, peakMemoryBytes } = nearest;
  return new MoebiusError(
    'search.memory',
    `none of ${searched.length} plans fits: the nearest, ${label} on ${numGpus} GPUs, ` +
      `has ${formatBytes(overBytes)} too many on rank ${fullestRank}`,
    {
      values: { numPlans: searched.length, nearest: label, overBytes, peakMemoryBytes, numGpus },
      hint:
        `Take more GPUs, GPUs with ${formatBytes(peakMemoryBytes)}, or free what is fixed ` +
        '(recompute, pp, ep, zero).',
    },
  );
}

function nothingKeeps(simulated: readonly SearchedPlan[], request: SearchRequest): MoebiusError {
  const { deadlineDays, budgetDollars, totalTokens } = request;
  const late = at([...simulated].sort(by('time')), 0);
  if (deadlineDays !== undefined && totalTokens !== null && (late.days ?? 0) > deadlineDays) {
    const days = late.days ?? 0;
    const gpus = Math.ceil((late.numGpus * days) / deadlineDays);
    return new MoebiusError(
      'search.deadline',
      `nothing meets ${deadlineDays} days: the fastest, ${late.label} on ${late.numGpus} GPUs, ` +
        `takes ${formatDays(days)}`,
      {
        values: { deadlineDays, days, nearest: late.label, numGpus: late.numGpus },
        hint: `Allow ${formatDays(days)}, or try about ${gpus} GPUs.`,
      },
    );
  }
  const near = at([...simulated].sort(by('money')), 0);
  const both = deadlineDays === undefined ? '' : ` and ${deadlineDays} days together`;
  const least = formatDollars(near.dollars);
  return new MoebiusError(
    'search.budget',
    `nothing keeps ${formatDollars(budgetDollars ?? 0)}${both}: the cheapest, ${near.label} ` +
      `on ${near.numGpus} GPUs, costs ${least} in ${formatDays(near.days)}`,
    {
      values: { budgetDollars, deadlineDays, dollars: near.dollars, nearest: near.label },
      hint: `Allow ${least}${both === '' ? '' : ', or more days'}, or train on fewer tokens.`,
    },
  );
}
