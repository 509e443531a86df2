/**
 * What the planner's page should say of a plan, written from the JSON that the command line prints
 * for it; and what the page does say, read out of its tables.
 */
import type { Page } from 'playwright-core';
import { formatBytes, formatCount, formatPercent } from '../../src/base/units.ts';
import { memoryParts } from '../../src/planner/memoryParts.ts';
import { phaseNames } from '../../src/planner/phaseNames.ts';
import type { Candidate, WhatIf } from '../../src/planner/planExtras.ts';
import type { PlanReport } from '../../src/planner/planReport.ts';
import {
  formatDays,
  formatDollars,
  formatError,
  formatKilowattHours,
  formatStep,
  wordsOf,
} from '../../src/planner/quantities.ts';

/** What `moebius plan train --json` prints. */
export interface PlanJson extends PlanReport {
  readonly published: { readonly from: string; readonly stepSeconds: number | null } | null;
  readonly search?: { readonly numPlans: number; readonly numFitting: number };
  readonly candidates?: readonly Candidate[];
  readonly pareto?: readonly Candidate[];
  readonly whatIfs?: readonly WhatIf[];
}

export type Row = readonly string[];

/** Every table of the planner by its label, folded ones too, each row with its name first. */
export async function tablesOf(page: Page): Promise<ReadonlyMap<string, readonly Row[]>> {
  const tables = await page.evaluate(`
    [...document.querySelectorAll('.planner table')].map((table) => [
      table.getAttribute('aria-label'),
      [...table.tBodies[0].rows].map((row) =>
        [...row.cells].map((cell) => cell.abbr || cell.textContent),
      ),
    ])`);
  return new Map(tables as [string, Row[]][]);
}

/** A column that is cut out of rows. */
export function columnOf(rows: readonly Row[], column: number): Row {
  return rows.map((row) => row[column] ?? '');
}

/** The headline's numbers, in its order. */
export function headlineOf(json: PlanJson): readonly Row[] {
  return [
    ['Step', formatStep(json.stepSeconds)],
    ['MFU, causal', formatPercent(json.mfuCausal, 2)],
    ['Tokens a day', formatCount(json.tokensPerDay)],
    ['Bubble', formatStep(json.bubbleSeconds)],
    ['Peak memory', formatBytes(json.peakMemoryBytes)],
    ['Duration', formatDays(json.days)],
    ['Cost', formatDollars(json.dollars)],
    ['GPU-hours', formatCount(Math.round(json.gpuHours))],
    ['Energy', formatKilowattHours(json.kilowattHours)],
  ];
}

/** Names and seconds. */
export function phasesOf({ phases }: PlanJson): readonly Row[] {
  return phaseNames.map(({ key }) => [key, formatStep(phases[key])]);
}

export function memoryOf({ ranks }: PlanJson): readonly Row[] {
  return ranks.map(({ rank, stages, memoryBytes, memory }) => [
    String(rank),
    stages.map(({ first, last }) => `${first}–${last - 1}`).join(', '),
    formatBytes(memoryBytes),
    ...memoryParts.map(({ key }) => formatBytes(memory[key])),
  ]);
}

export function operationsOf({ operations }: PlanJson): readonly Row[] {
  return operations.map(({ name, seconds, shareOfLimit, bound, source }) => [
    ...[wordsOf(name), formatStep(seconds), formatPercent(shareOfLimit), bound, source],
  ]);
}

/** The first rows of where numbers are from; the cluster's own follow. */
export function sourcesOf({ sources }: PlanJson): readonly Row[] {
  return sources.map(({ what, source, relativeError, from }) => [
    ...[wordsOf(what), source, formatError(relativeError), from],
  ]);
}

export function candidatesOf({ candidates = [] }: PlanJson): readonly Row[] {
  return candidates.map((each) => [
    ...[`${each.isBest ? '★ ' : ''}${each.label}`, 'Take', String(each.numGpus)],
    ...[formatStep(each.stepSeconds), formatDays(each.days), formatDollars(each.dollars)],
    ...[formatBytes(each.peakMemoryBytes), each.reason],
  ]);
}

export function whatIfsOf({ whatIfs = [] }: PlanJson): readonly Row[] {
  return whatIfs.map(({ name, stepSeconds, mfuCausal, dollars, note }) => [
    ...[name, formatStep(stepSeconds), formatPercent(mfuCausal, 2), formatDollars(dollars), note],
  ]);
}
