/**
 * A question about training, answered: what `moebius plan train` prints and the studio's planner
 * shows. One function for both, so that their numbers cannot differ; files, clocks and screens are
 * the caller's.
 */
import { applyWhatIf } from '../../config/clusters/whatIf.ts';
import { parseLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import type { PlanExtras, WhatIf } from '../planExtras.ts';
import { type PlannedTraining, planTraining } from '../planTraining.ts';
import { publishedRowsOf } from '../publishedSteps.ts';
import type { SearchedPlan, SearchResult } from '../search/searchRequest.ts';
import { worthShowing } from '../search/searchSections.ts';
import { pairSpans, timelineSpans } from '../timeline.ts';
import { findIdea, ideaNames } from '../whatIf/ideas.ts';
import { type ImbalanceStep, imbalanceSteps } from '../whatIf/imbalanceSteps.ts';
import { whatIfTable } from '../whatIf/whatIfTable.ts';
import { againCommand } from './againCommand.ts';
import { type PlanOptions, planOf, type ResolvedPlan, resized } from './planRequest.ts';
import { isSearch, type SearchMeans, type SearchOptions, searchSubject } from './searchSubject.ts';

export interface AskedPlan extends SearchOptions {
  /** The file of a calibration, for the command that gives the plan again. */
  readonly calibration?: string;
  readonly idea?: readonly string[];
  readonly ideas?: boolean;
  readonly expertLoads?: readonly number[];
}

export interface AnswerMeans extends SearchMeans {
  /** Told when nothing speaks against a search any more and it begins. */
  readonly onSearch?: () => void;
  /** Told when a search ends, before the best plan is walked for its report. */
  readonly onFound?: (found: SearchResult) => void;
}

export interface PlanAnswer {
  /** On the cluster size that was chosen. */
  readonly subject: ResolvedPlan;
  readonly plan: TrainingPlan;
  readonly planned: PlannedTraining;
  readonly found: SearchResult | null;
  readonly candidates: readonly SearchedPlan[];
  readonly extras: PlanExtras;
  /** What `--json` prints. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** @throws what `planTraining`, `searchPlans` and `applyWhatIf` throw */
export function answerPlan(
  asked: ResolvedPlan,
  options: AskedPlan,
  means: AnswerMeans = {},
): PlanAnswer {
  const { calibration: measured, onSearch, onFound, ...rest } = means;
  const calibration = measured === undefined ? {} : { calibration: measured };
  requireChanges(options, asked);
  if (isSearch(options)) onSearch?.();
  const found = isSearch(options)
    ? searchSubject(asked, options, { ...rest, ...calibration })
    : null;
  if (found !== null) onFound?.(found);
  const subject =
    found === null ? asked : { ...asked, cluster: resized(asked.cluster, found.best.numGpus) };
  const plan = found?.best.plan ?? planOf(subject, options, layoutOf(options, subject));
  const planned = planTraining({ ...subject, plan, ...calibration });
  const { report } = planned;
  const candidates = found === null ? [] : worthShowing(found);
  const whatIfs = whatIfsOf(options, { ...subject, ...calibration }, planned);
  const expertLoads = expertLoadsOf(options, { ...subject, ...calibration }, planned);
  const command = againCommand(options, report);
  const extras = {
    ...extrasOf(subject, plan, planned),
    ...{ candidates, whatIfs, expertLoads, command },
  };
  const json = {
    ...report,
    published: publishedOf(extras),
    ...searchJson(found),
    ...(whatIfs.length > 0 ? { whatIfs } : {}),
    ...(expertLoads.length > 0 ? { expertLoads } : {}),
  };
  return { subject, plan, planned, found, candidates, extras, json };
}

interface CalibrationOption {
  readonly calibration?: Calibration;
}

/** What would be refused after a search is refused before it. */
function requireChanges({ whatIf, idea = [] }: AskedPlan, { cluster }: ResolvedPlan): void {
  for (const name of idea) findIdea(name);
  for (const setting of whatIf ?? []) applyWhatIf(cluster, [setting]);
}

/** The plan on changed hardware, row by row; none where nothing was asked. */
function whatIfsOf(
  { whatIf, idea, ideas }: AskedPlan,
  { model, cluster, totalTokens, imbalance, calibration }: ResolvedPlan & CalibrationOption,
  { report, recompute, simulated: { stages } }: PlannedTraining,
): readonly WhatIf[] {
  const names = ideas === true ? ideaNames : (idea ?? []);
  if (names.length === 0 && whatIf === undefined) return [];
  return whatIfTable({
    ...{ model, cluster, totalTokens, plan: report.plan, ideas: names },
    ...(whatIf === undefined ? {} : { settings: whatIf }),
    ...(imbalance === undefined ? {} : { imbalance }),
    stages,
    ...(recompute === undefined ? {} : { recompute }),
    ...(calibration === undefined ? {} : { calibration }),
  });
}

/** Steps with one expert busier than the others; the even load comes first. */
function expertLoadsOf(
  { expertLoads: loads }: AskedPlan,
  { model, cluster, calibration }: ResolvedPlan & CalibrationOption,
  { report, recompute, simulated: { stages } }: PlannedTraining,
): readonly ImbalanceStep[] {
  if (loads === undefined) return [];
  return imbalanceSteps({
    ...{ model, cluster, stages, plan: report.plan, loads: [...new Set([1, ...loads])] },
    ...(recompute === undefined ? {} : { recompute }),
    ...(calibration === undefined ? {} : { calibration }),
  });
}

/** What a search found, beside the best plan's own report. */
function searchJson(found: SearchResult | null): Record<string, unknown> {
  if (found === null) return {};
  const { numPlans, numFitting, seconds, pareto } = found;
  return { search: { numPlans, numFitting, seconds }, candidates: worthShowing(found), pareto };
}

/** The measured rows of the same plan beside ours; null where nobody published any. */
function publishedOf({ publishedRows }: PlanExtras): PlanExtras['publishedRows'] {
  if (publishedRows === null) return null;
  const { from, stepSeconds, phases } = publishedRows;
  return { from, stepSeconds, phases };
}

function layoutOf({ layout = '' }: PlanOptions, { cluster }: ResolvedPlan): TrainingPlan['layout'] {
  return parseLayout(layout, cluster.numGpus);
}

function extrasOf(
  subject: ResolvedPlan,
  plan: TrainingPlan,
  { simulated }: PlannedTraining,
): Omit<PlanExtras, 'command'> {
  const { modelName, cluster } = subject;
  return {
    cluster,
    spans: timelineSpans(simulated),
    pairSpans: pairSpans(simulated.pair),
    candidates: [],
    whatIfs: [],
    publishedRows: publishedRowsOf(modelName, cluster.name, plan),
  };
}
