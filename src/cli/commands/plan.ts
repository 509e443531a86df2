/** `moebius plan train`: a model, a cluster, and what training one on the other comes to. */
import { readFile } from 'node:fs/promises';
import { applyWhatIf } from '../../config/clusters/whatIf.ts';
import { parseLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import { planHtml } from '../../planner/html/planHtml.ts';
import { planCsv, rowOfCandidate, rowOfReport } from '../../planner/planCsv.ts';
import type { PlanExtras, WhatIf } from '../../planner/planExtras.ts';
import { type PlannedTraining, planTraining } from '../../planner/planTraining.ts';
import { publishedRowsOf } from '../../planner/publishedSteps.ts';
import type { SearchResult } from '../../planner/search/searchRequest.ts';
import { paretoSection, searchSection, worthShowing } from '../../planner/search/searchSections.ts';
import { type TextSection, textReport } from '../../planner/textReport.ts';
import { pairSpans, timelineSpans } from '../../planner/timeline.ts';
import { findIdea, ideaNames } from '../../planner/whatIf/ideas.ts';
import { type ImbalanceStep, imbalanceSteps } from '../../planner/whatIf/imbalanceSteps.ts';
import { whatIfTable } from '../../planner/whatIf/whatIfTable.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import { parseCalibration } from '../../simulator/calibrationFile.ts';
import { note, printResult, writeText } from '../output.ts';
import { againCommand } from '../plan/againCommand.ts';
import { formatSections } from '../plan/printPlan.ts';
import {
  type PlanOptions,
  planOf,
  type ResolvedPlan,
  resized,
  resolveSubject,
} from '../plan/resolvePlan.ts';
import { isSearch, type SearchOptions, searchSubject } from '../plan/searchSubject.ts';
import { withoutEffect } from '../plan/withoutEffect.ts';
import { requireEngine, writeExport } from '../plan/writeExports.ts';
import { writeTraces } from '../plan/writeTraces.ts';

export interface PlanTrainOptions extends SearchOptions {
  readonly json?: boolean;
  readonly trace?: string;
  readonly html?: string;
  readonly csv?: boolean;
  readonly export?: string;
  /** Of the export; `plan` by default. */
  readonly out?: string;
  readonly calibration?: string;
  readonly idea?: readonly string[];
  readonly ideas?: boolean;
  readonly expertLoads?: readonly number[];
}

export async function planTrain(options: PlanTrainOptions): Promise<void> {
  const asked = await resolveSubject(options);
  const engine = options.export === undefined ? null : requireEngine(options.export);
  const calibration = await calibrationOf(options);
  requireChanges(options, asked);
  const found = isSearch(options) ? searchSubject(asked, options, calibration) : null;
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
  for (const line of withoutEffect(options, subject, plan)) note(`note: ${line}`);
  if (options.trace !== undefined) {
    for (const file of await writeTraces(options.trace, planned)) note(`wrote ${file}`);
  }
  if (options.html !== undefined) {
    await writeText(options.html, planHtml(report, extras));
    note(`wrote ${options.html}`);
  }
  if (engine !== null) {
    const { files, warnings } = await writeExport(engine, options.out ?? 'plan', {
      report,
      ...subject,
    });
    for (const warning of warnings) note(`note: ${warning}`);
    for (const file of files) note(`wrote ${file}`);
  }
  const sections = textReport(report, {
    ...extras,
    memoryCapacityBytes: extras.cluster.gpu.memoryBytes,
  });
  const rows =
    found === null ? [rowOfReport(report)] : candidates.map((each) => rowOfCandidate(report, each));
  const table =
    options.csv === true
      ? planCsv(rows).trimEnd()
      : formatSections([...searchSections(found), ...sections]);
  const published = publishedOf(extras);
  printResult(options, {
    table,
    json: {
      ...report,
      published,
      ...searchJson(found),
      ...(whatIfs.length > 0 ? { whatIfs } : {}),
      ...(expertLoads.length > 0 ? { expertLoads } : {}),
    },
  });
}

/** What would be refused after a search is refused before it. */
function requireChanges({ whatIf, idea = [] }: PlanTrainOptions, { cluster }: ResolvedPlan): void {
  for (const name of idea) findIdea(name);
  for (const setting of whatIf ?? []) applyWhatIf(cluster, [setting]);
}

/** The plan on changed hardware, row by row; none where nothing was asked. */
function whatIfsOf(
  { whatIf, idea, ideas }: PlanTrainOptions,
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
  { expertLoads: loads }: PlanTrainOptions,
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

/** Without times: the same question has the same answer on every machine. */
function searchSections(found: SearchResult | null): readonly TextSection[] {
  if (found === null) return [];
  return [searchSection({ ...found, seconds: null }), paretoSection(found)];
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

interface CalibrationOption {
  readonly calibration?: Calibration;
}

async function calibrationOf({ calibration: path }: PlanTrainOptions): Promise<CalibrationOption> {
  if (path === undefined) return {};
  return { calibration: parseCalibration(await readFile(path, 'utf8'), path) };
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
