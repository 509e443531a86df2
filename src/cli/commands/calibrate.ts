/** `moebius calibrate`: how fast a trace’s machine is, class by class, against its prices. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import {
  formatLayout,
  type NamedRecompute,
  type Precision,
  parseLayout,
  recomputePolicies,
  scheduleNames,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { predictLayers } from '../../planner/predictLayers.ts';
import {
  type CalibratedClass,
  type CalibrationResult,
  calibrate,
} from '../../simulator/calibrate.ts';
import { serializeCalibration } from '../../simulator/calibrationFile.ts';
import { parseKernelRules } from '../../simulator/trace/kernelClasses.ts';
import { measureClasses } from '../../simulator/trace/measureClasses.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { readCluster, readPlannedModel } from '../planTargets.ts';
import { readTrace } from '../readTrace.ts';

export interface CalibrateOptions {
  readonly trace: string;
  readonly model: string;
  readonly cluster: string;
  readonly layout: string;
  readonly layers: number;
  readonly microBatches: number;
  readonly sequenceLength: number;
  readonly schedule: string;
  readonly precision: string;
  readonly recompute: string;
  readonly rules?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export async function calibrateFromTrace(options: CalibrateOptions): Promise<void> {
  const [model, cluster] = await Promise.all([
    readPlannedModel(options.model),
    readCluster(options.cluster),
  ]);
  const layout = parseLayout(options.layout, cluster.numGpus);
  const rules =
    options.rules === undefined ? [] : parseKernelRules(await readFile(options.rules, 'utf8'));
  const recompute = chosen('recompute', options.recompute, RECOMPUTE);
  const schedule = chosen('schedule', options.schedule, scheduleNames);
  const precision = chosen<Precision>('precision', options.precision, ['fp8', 'bf16']);
  const trace = await readTrace(options.trace);
  const { layers, microBatches, sequenceLength } = options;
  const plan: TrainingPlan = {
    ...{ layout, schedule, precision, recompute, sequenceLength },
    chunksPerRank: schedule.startsWith('dualpipe') ? 2 : 1,
    globalBatch: layout.dp * layout.pp * 2,
    microBatchSize: 1,
    mtp: false,
  };
  const predicted = predictLayers({ model, plan, cluster, layers, microBatches });
  const result = calibrate(measureClasses(trace, rules), predicted, {
    madeOn: new Date().toISOString().slice(0, 10),
    source: {
      trace: basename(options.trace),
      gpu: trace.gpu?.name ?? null,
      model: options.model,
      cluster: options.cluster,
      layout: formatLayout(layout),
      layers: options.layers,
    },
  });
  const { calibration } = result;
  if (options.out !== undefined) {
    await writeFile(options.out, serializeCalibration(calibration));
    note(`wrote ${options.out}`);
  }
  printResult(options, {
    table: tableOf(result, cluster),
    json: { ...calibration, unpredicted: result.unpredicted, unmeasured: result.unmeasured },
  });
}

const RECOMPUTE = Object.keys(recomputePolicies) as NamedRecompute[];

function chosen<T extends string>(option: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found !== undefined) return found;
  const near = nearestName(given, known);
  throw new MoebiusError(`calibrate.${option}`, `--${option} is "${given}"`, {
    values: { known },
    hint: near === undefined ? `Use one of: ${known.join(', ')}.` : `Did you mean ${near}?`,
  });
}

function tableOf(
  { calibration, unpredicted, unmeasured, notices }: CalibrationResult,
  { name }: ClusterSpec,
): string {
  const { source, classes } = calibration;
  const rows = classes.map((each): Cell[] => [
    each.name,
    each.count,
    ms(each.measuredSeconds),
    ms(each.predictedSeconds),
    each.factor.toFixed(3),
    error(each.residual),
    error(each.spread),
    rateOf(each),
    formatPercent(each.shareOfLimit),
  ]);
  const header = [
    'class',
    'kernels',
    'measured',
    'price',
    'factor',
    'passes',
    'layers',
    'rate',
    'of limit',
  ];
  const lines = [
    `${source.trace} against ${source.model} on ${name}, ${source.layout}, ${source.layers} layers`,
    '',
    formatTable(rows, header),
    '',
    'passes: what one factor leaves open between forward, backward and weight gradients;',
    'layers: how much one layer differs from another.',
  ];
  const listed = (list: typeof unpredicted): string =>
    list.map((each) => `${each.name} ${ms(each.seconds)}`).join(', ');
  if (unpredicted.length > 0) lines.push(`without a price: ${listed(unpredicted)}`);
  if (unmeasured.length > 0) lines.push(`not in the trace: ${listed(unmeasured)}`);
  return [...lines, ...notices.map((each) => `note: ${each}`)].join('\n');
}

function rateOf({ flopsPerSecond, bytesPerSecond }: CalibratedClass): string {
  return flopsPerSecond > 0
    ? `${(flopsPerSecond / 1e12).toFixed(1)} TFLOP/s`
    : `${(bytesPerSecond / 1e9).toFixed(1)} GB/s`;
}

function error(share: number | null): string {
  return share === null ? '–' : `± ${formatPercent(share)}`;
}

function ms(seconds: number): string {
  return `${(seconds * 1e3).toFixed(1)} ms`;
}
