/**
 * DeepSeek's published profile (deepseek-ai/profile-data, train.json), read in place, against an
 * independent analysis of it. Both are for testing only: nothing is fitted to them.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readTrace } from '../../src/cli/readTrace.ts';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import { predictLayers } from '../../src/planner/predictLayers.ts';
import {
  analyzeTrace,
  type DeviceReport,
  type TraceReport,
} from '../../src/simulator/trace/analyzeTrace.ts';
import type { KernelClass } from '../../src/simulator/trace/kernelClasses.ts';
import { measureClasses } from '../../src/simulator/trace/measureClasses.ts';
import { moebius } from '../support/commandLine.ts';
import { sharedFile, skipUnless } from '../support/neighbourFolder.ts';
import { readProjectFile } from '../support/projectFiles.ts';
import { v3Plan } from '../support/v3Plan.ts';

const tracePath = sharedFile('data', 'deepseek-train-trace.json');
const summaryPath = sharedFile('reference', 'profile-data-summary.json');
const options = skipUnless(tracePath, summaryPath);

interface Phase {
  readonly layer: number;
  readonly phase: string;
  readonly gpu_start: number;
  readonly gpu_end: number;
  readonly busy_by_class: Readonly<Record<string, number>>;
  readonly kernels: number;
}

interface Summary {
  readonly window_us: number;
  readonly totals_us_by_class: Readonly<Record<string, number>>;
  readonly kernel_counts: Readonly<Record<string, number>>;
  readonly totals_us_by_stream: Readonly<Record<string, number>>;
  readonly overlap: Readonly<Record<string, number>>;
  readonly phase_order_per_layer: readonly string[];
  readonly phases: readonly Phase[];
  readonly mean_per_layer_phase: Readonly<
    Record<string, { mean_span: number; data_movement_only: number | null }>
  >;
}

/**
 * Its classes in ours. Where it splits what we keep together (two kinds of notifying, of memory
 * operations) or the reverse (a few kernels of the gate, which have no rule), sums are compared.
 */
const OURS: Readonly<Record<string, readonly KernelClass[]>> = {
  ep_combine: ['combine'],
  ep_dispatch: ['dispatch'],
  'ep_cached_notify_wait ep_notify_dispatch_wait': ['notify-wait'],
  ep_layout: ['dispatch-layout'],
  gemm_fp8_wgrad: ['gemm-fp8-wgrad'],
  gemm_fp8_grouped: ['gemm-fp8-grouped'],
  gemm_fp8_dense: ['gemm-fp8-dense'],
  gemm_gate_bf16_fp32: ['gemm-bf16'],
  attn_core_fwd: ['attention-forward'],
  attn_core_bwd: ['attention-backward'],
  attn_core_bwd_aux: ['attention-backward-aux'],
  fp8_cast: ['fp8-cast'],
  fp8_cast_transpose: ['fp8-cast-transpose'],
  transpose: ['transpose'],
  token_permute: ['token-permute'],
  rmsnorm: ['norm'],
  swiglu: ['swiglu'],
  rope: ['rope'],
  gate_misc: ['gate'],
  copy: ['copy'],
  elementwise_other: ['elementwise', 'other'],
  mem: ['memcpy', 'memset'],
};

const micro = (seconds: number): number => Math.round(seconds * 1e6);

async function analyzed(): Promise<{
  report: TraceReport;
  device: DeviceReport;
  summary: Summary;
}> {
  const report = analyzeTrace(await readTrace(tracePath ?? ''));
  const [device] = report.devices;
  assert.ok(device !== undefined && report.devices.length === 1);
  const summary = JSON.parse(readFileSync(summaryPath ?? '', 'utf8')) as Summary;
  return { report, device, summary };
}

test(
  'DeepSeek’s training trace: 129.0 ms, of whose communication 96.3 % is hidden',
  options,
  async () => {
    const { report, device, summary } = await analyzed();
    const { overlap, streams } = device;
    assert.equal(micro(report.wallSeconds), 129_012);
    assert.equal(micro(report.wallSeconds), summary.window_us);
    assert.deepEqual(report.gpu, { name: 'NVIDIA H800', numSms: 132 });
    assert.deepEqual(
      Object.fromEntries(streams.map(({ id, busySeconds }) => [id, micro(busySeconds)])),
      summary.totals_us_by_stream,
    );
    assert.deepEqual(
      streams.map(({ role, sms }) => [role, sms]),
      [
        ['compute', 112],
        ['compute', 112],
        ['communication', 20],
      ],
    );
    assert.deepEqual(
      {
        compute_busy: micro(overlap.computeBusySeconds),
        comm_busy: micro(overlap.communicationBusySeconds),
        comm_data_movement_busy: micro(overlap.dataMovementSeconds),
        both_busy: micro(overlap.bothBusySeconds),
        comm_hidden_fraction: Number(overlap.hiddenShare?.toFixed(4)),
        data_movement_hidden_fraction: Number(overlap.dataMovementHiddenShare?.toFixed(4)),
        comm_exposed: micro(overlap.exposedSeconds),
        compute_idle: micro(overlap.computeIdleSeconds),
        nothing_busy: micro(overlap.nothingBusySeconds),
      },
      summary.overlap,
    );
  },
);

test(
  'DeepSeek’s training trace: every class has its microseconds and its kernels',
  options,
  async () => {
    const { device, summary } = await analyzed();
    assert.deepEqual(
      Object.keys(OURS)
        .flatMap((key) => key.split(' '))
        .toSorted(),
      Object.keys(summary.totals_us_by_class).toSorted(),
    );
    const sum = (numbers: readonly (number | undefined)[]): number =>
      numbers.reduce<number>((total, each) => total + (each ?? 0), 0);
    const ours = new Map(device.classes.map((each) => [each.name, each]));
    for (const [theirs, names] of Object.entries(OURS)) {
      const keys = theirs.split(' ');
      const time = sum(names.map((name) => micro(ours.get(name)?.seconds ?? 0)));
      assert.equal(time, sum(keys.map((key) => summary.totals_us_by_class[key])), theirs);
      const count = sum(names.map((name) => ours.get(name)?.count));
      assert.equal(count, sum(keys.map((key) => summary.kernel_counts[key])), theirs);
    }
    const covered = new Set(Object.values(OURS).flat());
    assert.deepEqual(
      device.classes.filter(({ name }) => !covered.has(name)),
      [],
    );
  },
);

test(
  'DeepSeek’s training trace: ten phases in each of four layers, kernel by kernel',
  options,
  async () => {
    const { device, summary } = await analyzed();
    const order = device.phases.map(({ name }) => name);
    assert.deepEqual(order.slice(0, 10), summary.phase_order_per_layer);
    assert.deepEqual(
      device.phases.map(({ name, occurrence, startSeconds, endSeconds, count, spanSeconds }) => [
        occurrence,
        name,
        micro(startSeconds),
        micro(endSeconds),
        count,
        micro(spanSeconds),
      ]),
      summary.phases.map((phase) => [
        phase.layer,
        phase.phase,
        phase.gpu_start,
        phase.gpu_end,
        phase.kernels,
        Object.values(phase.busy_by_class).reduce((total, each) => total + each, 0),
      ]),
    );
    for (const [name, { data_movement_only }] of Object.entries(summary.mean_per_layer_phase)) {
      const times = device.phases.filter((phase) => phase.name === name);
      const mean = times.reduce((total, each) => total + each.dataMovementSeconds, 0) / 4;
      // The summary rounds to tenths, halves to even.
      assert.ok(Math.abs(mean * 1e6 - (data_movement_only ?? 0)) < 0.051, name);
    }
  },
);

test(
  'DeepSeek’s training trace: the critical path fills the window and is mostly computing',
  options,
  async () => {
    const { report } = await analyzed();
    const { busySeconds, hostGapSeconds, otherGapSeconds, method, secondsByClass } =
      report.criticalPath;
    assert.equal(micro(busySeconds + hostGapSeconds + otherGapSeconds), 129_012);
    assert.equal(method, 'wait-calls');
    assert.ok(busySeconds / report.wallSeconds > 0.95);
    const { dispatch = 0, combine = 0, 'notify-wait': wait = 0 } = secondsByClass;
    // What is exposed must lie on the path, and so must attention's backward, which nothing else
    // computes beside.
    assert.equal(micro(secondsByClass['attention-backward'] ?? 0), 15_115);
    const exposed = report.devices[0]?.overlap.exposedSeconds ?? 0;
    assert.ok(dispatch + combine + wait > exposed);
  },
);

test(
  'DeepSeek’s training trace: rates by class and pass are those of the independent analysis',
  options,
  async () => {
    const { work } = measureClasses(await readTrace(tracePath ?? ''));
    const prices = predictLayers({
      model: deepseekV3,
      cluster: findCluster('h800x2048'),
      plan: { ...v3Plan, mtp: false },
      layers: 4,
      repeats: 1,
    });
    const { derived_rates: rates } = JSON.parse(readFileSync(summaryPath ?? '', 'utf8')) as {
      readonly derived_rates: Readonly<Record<string, number>>;
    };
    const time = (name: string, pass: string): number =>
      work.find((each) => each.class === name && each.pass === pass)?.seconds ?? 0;
    const rate = (name: string, pass: string): number => {
      const price = prices.find((each) => each.class === name && each.pass === pass);
      return (price?.flops ?? 0) / time(name, pass) / 1e12;
    };
    // Four layers of 4,096 tokens, each to four nodes; FP8 rows have a scale for every 128 values.
    const rows = 4 * 4096 * 4 * 7168;
    const dispatched = (pass: string): number =>
      (rows * (1 + 4 / 128)) / time('dispatch', pass) / 1e9;
    const combined = (pass: string): number => (rows * 2) / time('combine', pass) / 1e9;
    const near = (value: number, key: string, tolerance: number): void => {
      const expected = rates[key] ?? Number.NaN;
      assert.ok(Math.abs(value / expected - 1) < tolerance, `${key}: ${value}, not ${expected}`);
    };
    // Rounded to whole TFLOP/s and tenths of GB/s there.
    near(rate('fp8GroupedGemm', 'forward'), 'routed_fwd_fp8_tflops', 0.001);
    near(rate('fp8GroupedGemm', 'backwardInput'), 'routed_dgrad_fp8_tflops', 0.001);
    near(rate('attentionForward', 'forward'), 'attn_core_fwd_tflops', 0.002);
    near(dispatched('forward'), 'dispatch_fwd_GBps_per_gpu_logical', 0.003);
    near(dispatched('backwardInput'), 'dispatch_in_combine_bwd_GBps', 0.003);
    near(combined('forward'), 'combine_fwd_GBps', 0.003);
    near(combined('backwardInput'), 'combine_in_dispatch_bwd_GBps', 0.003);
    // There without the kernels around the core, which belong to its price here.
    const core = rate('attentionBackward', 'backwardInput') * (17_017 / 15_115);
    near(core, 'attn_core_bwd_tflops', 0.002);
  },
);

test(
  'docs/trace.md: shows what the command prints of DeepSeek’s training trace',
  options,
  async () => {
    const { stdout } = await moebius('trace', tracePath ?? '');
    assert.ok(readProjectFile('docs/trace.md').includes(`train-trace.json\n${stdout.trimEnd()}\n`));
  },
);
