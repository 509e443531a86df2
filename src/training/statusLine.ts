/**
 * One line per step for a person at a terminal. What does not fit is left out whole, the least
 * urgent first, so that a narrow window shows fewer numbers and never half a number.
 *
 *     step  120/700  17 % · loss 4.213 · mtp 4.802 · 5.24K tok/s · 38.1 % of peak · … · ETA 2m 31s
 */
import { formatBytes, formatCount, formatPercent, formatSeconds } from '../base/units.ts';
import type { StepReport } from './events.ts';

/** @param width columns; the line is at most this long, and at least the step itself */
export function statusLine(report: StepReport, width: number): string {
  const parts = describe(report);
  const byRank = parts.toSorted((a, b) => a.rank - b.rank);
  const shown = new Set<Part>();
  let length = -SEPARATOR.length;
  for (const part of byRank) {
    const longer = length + SEPARATOR.length + part.text.length;
    if (longer > width && shown.size > 0) break;
    shown.add(part);
    length = longer;
  }
  return parts
    .filter((part) => shown.has(part))
    .map((part) => part.text)
    .join(SEPARATOR);
}

const SEPARATOR = ' · ';

interface Part {
  readonly text: string;
  /** 0 is the last to be left out. */
  readonly rank: number;
}

/** In the order in which they are shown. */
function describe(report: StepReport): readonly Part[] {
  const { step, numSteps, balance, predictedSeconds, shareOfPeak, memoryBytes } = report;
  const number = String(step).padStart(String(numSteps).length);
  const percent = String(Math.floor((100 * step) / numSteps)).padStart(3);
  const parts: Part[] = [
    { rank: 0, text: `step ${number}/${numSteps} ${percent} %` },
    { rank: 1, text: `loss ${shortNumber(report.smoothedLoss)}` },
  ];
  if (report.mtpLossPerDepth.length > 0) {
    parts.push({ rank: 4, text: `mtp ${shortNumber(report.mtpLoss)}` });
  }
  parts.push({ rank: 3, text: `${formatCount(Math.round(report.tokensPerSecond))} tok/s` });
  if (shareOfPeak !== null) {
    parts.push({ rank: 5, text: `${formatPercent(shareOfPeak)} of peak` });
  }
  parts.push({ rank: 7, text: `norm ${shortNumber(report.gradientNorm)}` });
  if (balance !== null) {
    const dead = balance.deadExperts === 0 ? '' : `, ${balance.deadExperts} dead`;
    parts.push({ rank: 6, text: `MaxVio ${balance.maxVioMax.toFixed(2)}${dead}` });
  }
  const predicted =
    predictedSeconds === null ? '' : ` (${formatSeconds(predictedSeconds)} predicted)`;
  parts.push({ rank: 8, text: `${formatSeconds(report.seconds)}${predicted}` });
  parts.push({ rank: 9, text: `lr ${report.learningRate.toExponential(1)}` });
  if (memoryBytes !== null) parts.push({ rank: 10, text: formatBytes(memoryBytes) });
  parts.push({ rank: 2, text: `ETA ${formatSeconds(report.remainingSeconds)}` });
  return parts;
}

/** Four significant digits, however large a loss has become. */
function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) < 1000 ? value.toPrecision(4) : value.toExponential(2);
}
