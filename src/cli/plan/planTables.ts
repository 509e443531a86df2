/** A plan's report as tables for a terminal: what it comes to, and where every number is from. */
import { formatBytes, formatCount, formatPercent, formatSeconds } from '../../base/units.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { describeCluster } from '../../config/clusters/describeCluster.ts';
import { formatLayout, numMicroBatches } from '../../config/parallelPlan.ts';
import type { PublishedRows } from '../../planner/planExtras.ts';
import type { PlanReport, StepPhases } from '../../planner/planReport.ts';
import { formatTable } from '../output.ts';

export interface TableOptions {
  readonly cluster: ClusterSpec;
  readonly published: PublishedRows | null;
  readonly command: string;
}

export function planTables(report: PlanReport, options: TableOptions): string {
  return [
    headline(report),
    phasesTable(report, options.published),
    ranksTable(report, options.cluster),
    operationsTable(report),
    clusterTable(options.cluster),
    `again: ${options.command}`,
  ].join('\n\n');
}

function headline(report: PlanReport): string {
  const { plan, step, overlap } = report;
  const percent = (share: number): string => formatPercent(share, 2);
  const rows: (readonly [string, string])[] = [
    ['model, cluster', `${report.model} on ${report.cluster}, ${report.numGpus} GPUs`],
    [
      'plan',
      `${formatLayout(plan.layout)}, ${plan.schedule}, ${plan.precision}, recompute ${plan.recompute}` +
        `${plan.mtp ? ', MTP' : ''}`,
    ],
    [
      'step',
      `${plan.globalBatch} sequences of ${plan.sequenceLength}, ` +
        `${numMicroBatches(plan)} micro-batches of ${plan.microBatchSize} in each of ${plan.layout.dp} pipelines`,
    ],
    [
      'seconds per step',
      `${step.seconds.toFixed(3)} ± ${formatPercent(step.relativeError, 0)} (${step.source})`,
    ],
    ['tokens per day', formatCount(report.tokensPerDay)],
    [
      'MFU of the BF16 peak',
      `${percent(report.mfuCausal)} causal, ${percent(report.mfuNonCausal)} non-causal ` +
        `(${report.tflopsCausal.toFixed(1)} TFLOP/s a GPU, causal)`,
    ],
  ];
  if (overlap !== null) {
    rows.push([
      'overlapped pair',
      `${formatSeconds(overlap.pairSeconds)}: computes ${formatSeconds(overlap.computeSeconds)}, ` +
        `sends ${formatSeconds(overlap.communicationSeconds)}, ` +
        `${formatPercent(overlap.hiddenShare)} hidden`,
    ]);
  }
  const span = report.days === null ? 'one step' : `${formatCount(report.totalTokens ?? 0)} tokens`;
  const days = report.days === null ? '' : `${report.days.toFixed(1)} days, `;
  rows.push(
    [
      span,
      `${days}${formatCount(report.gpuHours)} GPU-hours, $${formatCount(report.dollars)}, ` +
        `${formatCount(report.kilowattHours)} kWh`,
    ],
    ['fullest rank', formatBytes(report.peakMemoryBytes)],
  );
  return formatTable(rows);
}

const phaseNames: readonly (keyof StepPhases)[] = ['1F', 'bubble', '1B', '1W', '1F1B', 'optimizer'];

function phasesTable(report: PlanReport, published: PublishedRows | null): string {
  const whole = report.stepSeconds;
  const row = (name: string, ours: number, theirs: number | null | undefined): string[] => [
    name,
    ours.toFixed(3),
    formatPercent(ours / whole),
    ...(published === null
      ? []
      : [theirs?.toFixed(2) ?? '', theirs ? `${((ours / theirs - 1) * 100).toFixed(1)} %` : '']),
  ];
  const rows = phaseNames.map((name) => row(name, report.phases[name], published?.phases[name]));
  rows.push(row('step', whole, published?.stepSeconds));
  const header = ['rank 0', 'seconds', 'of step'];
  if (published !== null) header.push(published.from, 'off by');
  return formatTable(rows, header);
}

/** Ranks that are alike are one row. */
function ranksTable(report: PlanReport, { gpu }: ClusterSpec): string {
  const rows: { text: string[]; from: number; to: number }[] = [];
  for (const { rank, stages, phases, memoryBytes, memory } of report.ranks) {
    const text = [
      stages.map(({ first, last }) => String(last - first)).join(' + '),
      formatSeconds(phases.bubble),
      formatBytes(memoryBytes),
      formatPercent(memoryBytes / gpu.memoryBytes, 0),
      formatBytes(memory.weights + memory.masterWeights),
      formatBytes(memory.gradients),
      formatBytes(memory.moments),
      formatBytes(memory.activations),
      formatBytes(memory.communicationBuffers + memory.reserve),
    ];
    const last = rows.at(-1);
    if (last !== undefined && last.text.join() === text.join()) last.to = rank;
    else rows.push({ text, from: rank, to: rank });
  }
  return formatTable(
    rows.map(({ text, from, to }) => [from === to ? String(from) : `${from} to ${to}`, ...text]),
    [
      ...['rank', 'layers', 'bubble', 'memory', 'of GPU', 'weights', 'gradients', 'moments'],
      ...['activations', 'buffers'],
    ],
  );
}

const NUM_OPERATIONS = 14;

function operationsTable(report: PlanReport): string {
  const errors = new Map(report.sources.map(({ what, relativeError }) => [what, relativeError]));
  const rows = report.operations
    .slice(0, NUM_OPERATIONS)
    .map(({ name, seconds, shareOfLimit, bound, source }) => [
      name,
      seconds.toFixed(3),
      formatPercent(seconds / report.stepSeconds),
      formatPercent(shareOfLimit, 0),
      bound,
      source,
      `± ${formatPercent(errors.get(name) ?? 0, 0)}`,
    ]);
  const header = ['operation', 'seconds', 'of step', 'of limit', 'bound', 'source', 'error'];
  return `${formatTable(rows, header)}\nrank 0; what is hidden counts too, so shares add up to more than the step`;
}

function clusterTable(cluster: ClusterSpec): string {
  return formatTable(
    describeCluster(cluster).map(({ what, text }) => [what, text]),
    ['cluster, derived', cluster.name],
  );
}
