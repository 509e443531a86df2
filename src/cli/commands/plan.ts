/** `moebius plan train`: a model, a cluster, and what training one on the other comes to. */
import { readFile, writeFile } from 'node:fs/promises';
import { MoebiusError } from '../../base/errors.ts';
import { formatLayout, parseLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import { planHtml } from '../../planner/html/planHtml.ts';
import { planCsv, rowOfReport } from '../../planner/planCsv.ts';
import type { PlanExtras } from '../../planner/planExtras.ts';
import { type PlannedTraining, planTraining } from '../../planner/planTraining.ts';
import { publishedRowsOf } from '../../planner/publishedSteps.ts';
import { textReport } from '../../planner/textReport.ts';
import { pairSpans, timelineSpans } from '../../planner/timeline.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import { parseCalibration } from '../../simulator/calibrationFile.ts';
import { note, printResult } from '../output.ts';
import { formatSections } from '../plan/printPlan.ts';
import {
  type PlanOptions,
  planOf,
  type ResolvedPlan,
  resolveSubject,
} from '../plan/resolvePlan.ts';
import { writeExport } from '../plan/writeExports.ts';
import { writeTraces } from '../plan/writeTraces.ts';

export interface PlanTrainOptions extends PlanOptions {
  readonly json?: boolean;
  readonly trace?: string;
  readonly html?: string;
  readonly csv?: boolean;
  readonly export?: string;
  readonly out: string;
  readonly calibration?: string;
}

export async function planTrain(options: PlanTrainOptions): Promise<void> {
  const subject = await resolveSubject(options);
  const plan = planOf(subject, options, layoutOf(options, subject));
  const calibration = await calibrationOf(options);
  const planned = planTraining({ ...subject, plan, ...calibration });
  const { report } = planned;
  const extras = extrasOf(subject, plan, planned);
  if (options.trace !== undefined) {
    for (const file of await writeTraces(options.trace, planned)) note(`wrote ${file}`);
  }
  if (options.html !== undefined) {
    await writeFile(options.html, planHtml(report, extras));
    note(`wrote ${options.html}`);
  }
  if (options.export !== undefined) {
    const { files, warnings } = await writeExport(options.export, options.out, {
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
  const table =
    options.csv === true ? planCsv([rowOfReport(report)]).trimEnd() : formatSections(sections);
  printResult(options, { table, json: { ...report } });
}

async function calibrationOf({
  calibration: path,
}: PlanTrainOptions): Promise<{ calibration?: Calibration }> {
  if (path === undefined) return {};
  return { calibration: parseCalibration(await readFile(path, 'utf8'), path) };
}

function layoutOf({ layout }: PlanOptions, { cluster }: ResolvedPlan): TrainingPlan['layout'] {
  if (layout !== undefined) return parseLayout(layout, cluster.numGpus);
  throw new MoebiusError('plan.layout', 'no layout is given', {
    hint: 'Write it as in --layout pp16,ep64,zero1.',
  });
}

function extrasOf(
  subject: ResolvedPlan,
  plan: TrainingPlan,
  { simulated }: PlannedTraining,
): PlanExtras {
  const { modelName, cluster } = subject;
  return {
    cluster,
    command:
      `npx moebius plan train --model ${modelName} --cluster ${cluster.name} ` +
      `--layout ${formatLayout(plan.layout)} --schedule ${plan.schedule}`,
    spans: timelineSpans(simulated),
    pairSpans: pairSpans(simulated.pair),
    candidates: [],
    whatIfs: [],
    publishedRows: publishedRowsOf(modelName, cluster.name, plan),
  };
}
