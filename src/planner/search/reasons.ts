/**
 * Why a plan won or lost, in one sentence with the number that decided. A loser is compared with
 * the best plan on as many GPUs: of bubble, exposed transfers, recomputation, optimizer and the
 * passes themselves the one that costs it most is named.
 */
import { formatBytes, formatPercent } from '../../base/units.ts';
import { formatDays, formatDollars, formatStep } from '../quantities.ts';
import { dominates, timeOf } from './paretoFront.ts';
import type { SearchedPlan, SearchRequest, StepShares } from './searchRequest.ts';

export interface ReasonSetting {
  readonly request: SearchRequest;
  readonly best: SearchedPlan;
  /** In the order of the aim. */
  readonly simulated: readonly SearchedPlan[];
  readonly pareto: readonly SearchedPlan[];
  readonly numFitting: number;
}

export function reasonOf(plan: SearchedPlan, setting: ReasonSetting): string {
  const { request, best, simulated, pareto } = setting;
  const { deadlineDays, budgetDollars } = request;
  if (plan.overBytes > 0) return doesNotFit(plan, request);
  if (plan === best) return winning(plan, setting);
  if (deadlineDays !== undefined && plan.days !== null && plan.days > deadlineDays) {
    return `Past the deadline: ${formatDays(plan.days)}, ${deadlineDays} are allowed.`;
  }
  if (budgetDollars !== undefined && plan.dollars > budgetDollars) {
    return `Over the budget: ${formatDollars(plan.dollars)} of ${formatDollars(budgetDollars)}.`;
  }
  if (pareto.includes(plan)) return onTheFront(plan, best);
  const own = simulated.find(({ numGpus }) => numGpus === plan.numGpus) ?? best;
  if (own === plan) {
    const other = pareto.find((each) => dominates(each, plan)) ?? best;
    const costs = ({ days, dollars }: SearchedPlan): string =>
      `${formatDays(days)}, ${formatDollars(dollars)}`;
    const whose = `${other.label} on ${other.numGpus} GPUs`;
    return `Dominated by ${whose}: ${costs(other)}, here ${costs(plan)}.`;
  }
  return slowerThan(plan, own);
}

function doesNotFit(plan: SearchedPlan, { cluster }: SearchRequest): string {
  const { overBytes, fullestRank, peakMemoryBytes } = plan;
  const { memoryBytes } = cluster.gpu;
  if (peakMemoryBytes <= memoryBytes) {
    return `Does not fit: a node's host memory is short of ${formatBytes(overBytes)}.`;
  }
  const much = `${formatBytes(peakMemoryBytes)} of ${formatBytes(memoryBytes)}`;
  return `Does not fit: ${formatBytes(overBytes)} too many on rank ${fullestRank} (${much}).`;
}

function winning(plan: SearchedPlan, { request, numFitting }: ReasonSetting): string {
  const { deadlineDays, budgetDollars } = request;
  const isCheapest = deadlineDays !== undefined && budgetDollars === undefined;
  const limits = [
    ...(deadlineDays === undefined ? [] : [`${deadlineDays} days`]),
    ...(budgetDollars === undefined ? [] : [formatDollars(budgetDollars)]),
  ];
  const within = limits.length === 0 ? '' : ` within ${limits.join(' and ')}`;
  const what = isCheapest || request.aim === 'money' ? 'cheapest' : 'fastest';
  const { bubbleSeconds, exposedSeconds } = plan.shares;
  const step = `${formatStep(plan.stepSeconds)} a step`;
  const bubble = `bubble ${percent(bubbleSeconds, plan)}`;
  const exposed = `exposed communication ${formatStep(exposedSeconds)}`;
  return `The ${what} of ${numFitting} plans that fit${within}: ${step}, ${bubble}, ${exposed}.`;
}

function onTheFront(plan: SearchedPlan, best: SearchedPlan): string {
  const later = timeOf(plan) - timeOf(best);
  const money = formatDollars(Math.abs(plan.dollars - best.dollars));
  const time = (plan.days === null ? formatStep : formatDays)(Math.abs(later));
  return later > 0
    ? `On the front: ${time} later than the best and ${money} cheaper.`
    : `On the front: ${time} sooner than the best and ${money} dearer.`;
}

function percent(seconds: number, { stepSeconds }: SearchedPlan): string {
  return formatPercent(seconds / stepSeconds, 0);
}

const NAMES: readonly (keyof StepShares)[] = [
  'bubbleSeconds',
  'exposedSeconds',
  'recomputeSeconds',
  'optimizerSeconds',
];

/** The part of the step that is longest beyond the winner's; simulated seconds where there are. */
function slowerThan(plan: SearchedPlan, winner: SearchedPlan): string {
  const more = plan.stepSeconds - winner.stepSeconds;
  const slower = `${formatStep(Math.max(0, more))} a step slower than ${winner.label}`;
  let worst: keyof StepShares | 'passes' = 'passes';
  let most = more;
  for (const name of NAMES) most -= plan.shares[name] - winner.shares[name];
  for (const name of NAMES) {
    const own = plan.shares[name] - winner.shares[name];
    if (own > most) [worst, most] = [name, own];
  }
  return `${wordsOf(worst, plan, winner)}; ${slower}.`;
}

function wordsOf(
  what: keyof StepShares | 'passes',
  plan: SearchedPlan,
  winner: SearchedPlan,
): string {
  if (what === 'passes') return `Its passes compute longer${because(plan, winner)}`;
  const [own, other] = [plan.shares[what], winner.shares[what]];
  const shares = `${percent(own, plan)}, the winner's ${percent(other, winner)}`;
  const seconds = `${formatStep(own)}, the winner's ${formatStep(other)}`;
  switch (what) {
    case 'bubbleSeconds':
      return `Bubble ${shares}`;
    case 'exposedSeconds':
      return `Exposed communication ${seconds}`;
    case 'recomputeSeconds':
      return `Recomputation is ${shares}`;
    case 'optimizerSeconds':
      return `Gradients and optimizer ${seconds}`;
    default:
      return what satisfies never;
  }
}

/** What makes products smaller than the winner's. */
function because({ plan }: SearchedPlan, { plan: winner }: SearchedPlan): string {
  const { tp, ep } = plan.layout;
  const times = (more: number, less: number): string => (more / less).toFixed(0);
  if (tp > winner.layout.tp) {
    return `: tp ${tp} makes products ${times(tp, winner.layout.tp)} times as small`;
  }
  if (plan.microBatchSize < winner.microBatchSize) {
    return `: micro-batches of ${plan.microBatchSize} and not ${winner.microBatchSize}`;
  }
  if (ep < winner.layout.ep) {
    return `: ep ${ep} leaves each expert ${times(winner.layout.ep, ep)} times fewer tokens`;
  }
  if (plan.recompute !== winner.recompute) {
    return `: recompute ${plan.recompute} and not ${winner.recompute}`;
  }
  return '';
}
