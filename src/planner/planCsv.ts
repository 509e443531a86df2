/**
 * Plans as a table for spreadsheets: one row a configuration, what was chosen first and what came
 * of it behind (RFC 4180; numbers plain, in the unit that the column's name ends in).
 */
import { numMicroBatches, type TrainingPlan } from '../config/parallelPlan.ts';
import type { Candidate } from './planExtras.ts';
import type { PlanReport } from './planReport.ts';

/** One configuration; null where something is not known. */
export interface PlanRow {
  readonly model: string;
  readonly cluster: string;
  readonly plan: TrainingPlan;
  readonly numGpus: number;
  readonly stepSeconds: number;
  readonly tokensPerDay: number;
  readonly mfuCausal: number;
  readonly days: number | null;
  readonly dollars: number;
  readonly peakMemoryBytes: number;
  readonly isBest: boolean;
  readonly reason: string;
}

type Value = string | number | boolean | null;

const COLUMNS: readonly { readonly name: string; readonly of: (row: PlanRow) => Value }[] = [
  { name: 'model', of: ({ model }) => model },
  { name: 'cluster', of: ({ cluster }) => cluster },
  { name: 'numGpus', of: ({ numGpus }) => numGpus },
  { name: 'pp', of: ({ plan }) => plan.layout.pp },
  { name: 'ep', of: ({ plan }) => plan.layout.ep },
  { name: 'tp', of: ({ plan }) => plan.layout.tp },
  { name: 'dp', of: ({ plan }) => plan.layout.dp },
  { name: 'zeroStage', of: ({ plan }) => plan.layout.zeroStage },
  { name: 'schedule', of: ({ plan }) => plan.schedule },
  { name: 'chunksPerRank', of: ({ plan }) => plan.chunksPerRank },
  { name: 'globalBatch', of: ({ plan }) => plan.globalBatch },
  { name: 'microBatchSize', of: ({ plan }) => plan.microBatchSize },
  { name: 'numMicroBatches', of: ({ plan }) => numMicroBatches(plan) },
  { name: 'sequenceLength', of: ({ plan }) => plan.sequenceLength },
  { name: 'precision', of: ({ plan }) => plan.precision },
  { name: 'recompute', of: ({ plan }) => plan.recompute },
  { name: 'mtp', of: ({ plan }) => plan.mtp },
  { name: 'stepSeconds', of: ({ stepSeconds }) => stepSeconds },
  { name: 'tokensPerDay', of: ({ tokensPerDay }) => tokensPerDay },
  { name: 'mfuCausal', of: ({ mfuCausal }) => mfuCausal },
  { name: 'days', of: ({ days }) => days },
  { name: 'dollars', of: ({ dollars }) => dollars },
  { name: 'peakMemoryBytes', of: ({ peakMemoryBytes }) => peakMemoryBytes },
  { name: 'isBest', of: ({ isBest }) => isBest },
  { name: 'reason', of: ({ reason }) => reason },
];

/** With a heading, lines ended by line feeds. */
export function planCsv(rows: readonly PlanRow[]): string {
  const lines = [
    COLUMNS.map(({ name }) => name),
    ...rows.map((row) => COLUMNS.map(({ of }) => textOf(of(row)))),
  ];
  return lines.map((line) => `${line.map(quote).join(',')}\n`).join('');
}

/** The plan of a report as a row, for when nothing was searched. */
export function rowOfReport(report: PlanReport): PlanRow {
  return { ...report, isBest: true, reason: 'as asked for' };
}

export function rowOfCandidate({ model, cluster }: PlanReport, candidate: Candidate): PlanRow {
  const { plan, stepSeconds } = candidate;
  const tokensPerStep = plan.globalBatch * plan.sequenceLength;
  return { ...candidate, model, cluster, tokensPerDay: (tokensPerStep * 86_400) / stepSeconds };
}

function textOf(value: Value): string {
  if (value === null) return '';
  return typeof value === 'number' ? String(Number(value.toPrecision(9))) : String(value);
}

/**
 * Quoted where it holds a comma, a quote or a line's end. A text that a spreadsheet would take for
 * a formula gets an apostrophe: a model may be called anything.
 */
function quote(text: string): string {
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
