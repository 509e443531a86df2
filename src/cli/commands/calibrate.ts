/** `moebius calibrate`: how fast a trace’s machine is, class by class, against its prices. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { formatPercent } from '../../base/units.ts';
import { formatLayout, parseLayout } from '../../config/parallelPlan.ts';
import { predictLayers } from '../../planner/predictLayers.ts';
import { type PlanOptions, planOf } from '../../planner/request/planRequest.ts';
import {
  type CalibratedClass,
  type CalibrationResult,
  calibrate,
} from '../../simulator/calibrate.ts';
import { serializeCalibration } from '../../simulator/calibrationFile.ts';
import { parseKernelRules } from '../../simulator/trace/kernelClasses.ts';
import { measureClasses } from '../../simulator/trace/measureClasses.ts';
import { type Cell, formatTable, note, printResult, writeText } from '../output.ts';
import { resolveSubject } from '../plan/resolvePlan.ts';
import { readTrace } from '../readTrace.ts';

export interface CalibrateOptions extends Omit<PlanOptions, 'mtp' | 'globalBatch' | 'gpus'> {
  readonly gpus?: number;
  readonly trace: string;
  readonly layout: string;
  readonly layers: number;
  readonly repeats: number;
  readonly rules?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export async function calibrateFromTrace(options: CalibrateOptions): Promise<void> {
  const { gpus, ...rest } = options;
  const step = { ...rest, mtp: false, ...(gpus === undefined ? {} : { gpus: [gpus] }) };
  const subject = await resolveSubject(step);
  const { model, cluster } = subject;
  const layout = parseLayout(options.layout, cluster.numGpus);
  // Any batch will do: layers cost the same in each.
  const globalBatch = layout.dp * (options.microBatch ?? 1);
  const plan = planOf(subject, { ...step, globalBatch }, layout);
  const rules =
    options.rules === undefined ? [] : parseKernelRules(await readFile(options.rules, 'utf8'));
  const trace = await readTrace(options.trace);
  const { layers, repeats } = options;
  const predicted = predictLayers({ model, plan, cluster, layers, repeats });
  const result = calibrate(measureClasses(trace, rules), predicted, {
    madeOn: new Date().toISOString().slice(0, 10),
    source: {
      trace: basename(options.trace),
      gpu: trace.gpu?.name ?? null,
      model: subject.modelName,
      cluster: cluster.name,
      layout: formatLayout(layout),
      layers,
    },
  });
  const { calibration, unpredicted, unmeasured } = result;
  if (options.out !== undefined) {
    await writeText(options.out, serializeCalibration(calibration));
    note(`wrote ${options.out}`);
  }
  printResult(options, {
    table: tableOf(result),
    json: { ...calibration, unpredicted, unmeasured },
  });
}

function tableOf({ calibration, unpredicted, unmeasured, notices }: CalibrationResult): string {
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
    `${source.trace} against ${source.model} on ${source.cluster}, ${source.layout}, ` +
      `${source.layers} layers`,
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
