/**
 * The same plan on hardware that is changed, one change at a time and all together, against today.
 * A row says what moved by how much; where nothing did, why.
 */
import { at } from '../../base/assert.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { applyWhatIf } from '../../config/clusters/whatIf.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import { runCost, utilization } from '../../config/runCost.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import type { PassPrice } from '../../simulator/cost/stageCosts.ts';
import type { LayerRecompute } from '../../simulator/memory/estimateMemory.ts';
import type { PlannedStage } from '../pipelinePlan.ts';
import type { WhatIf } from '../planExtras.ts';
import type { StepPhases } from '../planReport.ts';
import { calibrated, PriceBook } from '../priceBook.ts';
import { formatStep } from '../quantities.ts';
import { simulatePlan } from '../simulatePlan.ts';
import { findIdea, type Idea, type IdeaSubject } from './ideas.ts';

export interface WhatIfQuestion {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  /** Of the whole run; null compares steps. */
  readonly totalTokens: number | null;
  /** As `applyWhatIf` reads them: `scaleUp.bytesPerSecond*=2`. */
  readonly settings?: readonly string[];
  /** Names of `ideas`. */
  readonly ideas?: readonly string[];
  readonly imbalance?: number;
  /** What `auto` came to, and where the layers were cut. */
  readonly recompute?: LayerRecompute;
  readonly stages?: readonly PlannedStage[];
  /** Measured factors, which changed hardware keeps. */
  readonly calibration?: Calibration;
}

/** A change by its name: a setting as it was typed, or an idea. */
interface Change {
  readonly name: string;
  readonly apply: Idea['apply'];
  readonly what: string;
  readonly whyNothing: string;
}

interface Outcome {
  readonly seconds: number;
  readonly phases: StepPhases;
  readonly pair: PassPrice | null;
}

/**
 * Today first, then each change by itself, and where there are several all of them.
 *
 * @throws whatIf.idea, cluster.whatIf and whatever a changed cluster is refused for
 */
export function whatIfTable(question: WhatIfQuestion): WhatIf[] {
  const { settings = [], ideas = [], plan, cluster } = question;
  const changes = [...settings.map(settingChange), ...ideas.map(ideaChange)];
  const traces: PriceBook['traces'] = new Map();
  const today: IdeaSubject = { plan, cluster, extraSeconds: 0 };
  const before = outcomeOf(question, today, traces);
  const rowOf = (name: string, change: Change): WhatIf => {
    const subject = change.apply(today);
    const found = subject === today ? before : outcomeOf(question, subject, traces);
    // What costs time by itself is left alone where it does not pay.
    const isWorthIt = subject.extraSeconds === 0 || found.seconds < before.seconds;
    const after = isWorthIt ? found : before;
    const priced = isWorthIt ? subject.cluster : cluster;
    return whatIf(question, { name, cluster: priced, before, after, change });
  };
  const rows = changes.map((change) => rowOf(change.name, change));
  const none: Change = { name: 'today', apply: (same) => same, what: '', whyNothing: '' };
  const first = whatIf(question, { name: 'today', cluster, before, after: before, change: none });
  const note = `${cluster.name}, as it is.`;
  const all = changes.length > 1 ? [rowOf('all together', together(changes))] : [];
  return [{ ...first, note }, ...rows, ...all];
}

function settingChange(setting: string): Change {
  return {
    name: setting,
    apply: (subject) => ({ ...subject, cluster: applyWhatIf(subject.cluster, [setting]) }),
    what: '',
    whyNothing: 'no part of this step is bound by it',
  };
}

function ideaChange(name: string): Change {
  return findIdea(name);
}

function together(changes: readonly Change[]): Change {
  return {
    name: 'all together',
    apply: (subject) => changes.reduce((changed, { apply }) => apply(changed), subject),
    what: '',
    whyNothing: 'none of the changes moves anything by itself',
  };
}

function outcomeOf(
  question: WhatIfQuestion,
  { plan, cluster, extraSeconds }: IdeaSubject,
  traces: PriceBook['traces'],
): Outcome {
  const { model, imbalance, recompute, stages, calibration } = question;
  const given = imbalance === undefined ? {} : { imbalance };
  const measured = calibration === undefined ? {} : calibrated(cluster, calibration);
  const book = new PriceBook({ model, cluster, traces, ...given, ...measured });
  const layers = {
    ...(recompute === undefined ? {} : { recompute }),
    ...(stages === undefined ? {} : { stages }),
  };
  const { step, phasesOfRank, pair } = simulatePlan({ model, plan, cluster, book, ...layers });
  return { seconds: step.seconds + extraSeconds, phases: at(phasesOfRank, 0), pair };
}

function whatIf(
  { model, plan, totalTokens }: WhatIfQuestion,
  args: {
    readonly name: string;
    readonly cluster: ClusterSpec;
    readonly before: Outcome;
    readonly after: Outcome;
    readonly change: Change;
  },
): WhatIf {
  const { name, cluster, before, after, change } = args;
  const tokensPerStep = plan.globalBatch * plan.sequenceLength;
  const timed = { tokensPerStep, stepSeconds: after.seconds };
  const { numGpus, price, gpu } = cluster;
  const cost = runCost({ ...timed, totalTokens: totalTokens ?? tokensPerStep, numGpus, price });
  const { mfuCausal } = utilization({
    ...{ model, ...timed, sequenceLength: plan.sequenceLength, numGpus, mtp: false },
    peakFlops: gpu.peakFlops.bf16,
  });
  return {
    name,
    stepSeconds: after.seconds,
    days: totalTokens === null ? null : cost.days,
    dollars: cost.dollars,
    mfuCausal,
    note: noteOf(before, after, change),
  };
}

/** Changes below this share of the step are nothing. */
const NOTHING = 2e-4;

function noteOf(before: Outcome, after: Outcome, { what, whyNothing }: Change): string {
  const text = what === '' ? '' : `${what} `;
  const change = after.seconds - before.seconds;
  if (Math.abs(change) < NOTHING * before.seconds) return `${text}Nothing moved: ${whyNothing}.`;
  const moved = Object.entries(before.phases)
    .map(([name, seconds]) => ({ name, by: after.phases[name as keyof StepPhases] - seconds }))
    .filter(({ by }) => Math.abs(by) > NOTHING * before.seconds)
    .sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  const phases = moved.map(
    ({ name, by }) => `${name} ${by < 0 ? '−' : '+'}${formatStep(Math.abs(by))}`,
  );
  const pairs =
    before.pair !== null && after.pair !== null
      ? [`a pair ${milliseconds(before.pair)} → ${milliseconds(after.pair)} ms`]
      : [];
  return `${text}Moved: ${[...phases, ...pairs].join(', ')}.`;
}

function milliseconds({ seconds }: PassPrice): string {
  return (seconds * 1e3).toFixed(1);
}
