/** `moebius plan train`: a model, a cluster, and what training one on the other comes to. */
import { readFile } from 'node:fs/promises';
import { planHtml } from '../../planner/html/planHtml.ts';
import { planCsv, rowOfCandidate, rowOfReport } from '../../planner/planCsv.ts';
import { type AskedPlan, answerPlan } from '../../planner/request/answerPlan.ts';
import { withoutEffect } from '../../planner/request/withoutEffect.ts';
import type { SearchResult } from '../../planner/search/searchRequest.ts';
import { paretoSection, searchSection } from '../../planner/search/searchSections.ts';
import { type TextSection, textReport } from '../../planner/textReport.ts';
import { machineClock } from '../../runtime/clock.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import { parseCalibration } from '../../simulator/calibrationFile.ts';
import { note, printResult, writeText } from '../output.ts';
import { formatSections } from '../plan/printPlan.ts';
import { resolveSubject } from '../plan/resolvePlan.ts';
import { noteFound, noteSearch, progressNotes } from '../plan/searchNotes.ts';
import { requireEngine, writeExport } from '../plan/writeExports.ts';
import { writeTraces } from '../plan/writeTraces.ts';

export interface PlanTrainOptions extends AskedPlan {
  readonly json?: boolean;
  readonly trace?: string;
  readonly html?: string;
  readonly csv?: boolean;
  readonly export?: string;
  /** Of the export; `plan` by default. */
  readonly out?: string;
}

export async function planTrain(options: PlanTrainOptions): Promise<void> {
  const asked = await resolveSubject(options);
  const engine = options.export === undefined ? null : requireEngine(options.export);
  const calibration = await calibrationOf(options);
  const { subject, plan, planned, found, candidates, extras, json } = answerPlan(asked, options, {
    ...calibration,
    ...{ clock: machineClock, onProgress: progressNotes() },
    ...{ onSearch: noteSearch, onFound: noteFound },
  });
  const { report } = planned;
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
  printResult(options, { table, json });
}

/** Without times: the same question has the same answer on every machine. */
function searchSections(found: SearchResult | null): readonly TextSection[] {
  if (found === null) return [];
  return [searchSection({ ...found, seconds: null }), paretoSection(found)];
}

interface CalibrationOption {
  readonly calibration?: Calibration;
}

async function calibrationOf({ calibration: path }: PlanTrainOptions): Promise<CalibrationOption> {
  if (path === undefined) return {};
  return { calibration: parseCalibration(await readFile(path, 'utf8'), path) };
}
