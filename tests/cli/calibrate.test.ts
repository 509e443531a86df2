/** `moebius calibrate`: rates by hand, the file it writes, and what it refuses. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CalibratedClass } from '../../src/simulator/calibrate.ts';
import { parseCalibration } from '../../src/simulator/calibrationFile.ts';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { annotation, kernel, launch } from '../support/traceFixture.ts';

test('calibrate --help: what it takes', async () => {
  const ran = await moebius('calibrate', '--help');
  assert.equal(ran.stdout, HELP);
});

const HELP = `Usage: moebius calibrate [options]

measure a machine by a trace of its own: rates and factors by class

Options:
  --trace <file>         a trace of training, plain or gzip
  --model <name|file>    a preset, a config.json, or a checkpoint’s folder
  --cluster <name|file>  a preset as h800x2048, or a YAML file
  --layout <words>       as pp16,ep64,zero1: pp, ep, tp, dp and zero
  --layers <n>           layers that the trace covers
  --repeats <n>          how often they run forward and backward (default: 1)
  --gpus <n>             as many GPUs of that kind
  --schedule <name>      gpipe, 1f1b, interleaved-1f1b, zb1p, dualpipe or
                         dualpipev
  --micro-batch <n>      sequences of a micro-batch; 1
  --sequence-length <n>  tokens of a sequence
  --precision <name>     fp8 or bf16
  --recompute <name>     none, norm, swiglu, v3, full or auto
  --rules <file>         JSON: [{ "class", "pattern" }] for kernels of your own
  --out <file>           write the calibration
  --json                 end with one line of JSON
  -h, --help             display help for command
`;

/** Two layers of V3's experts: two kernels of 1.5 ms each forward, one combine of 6 ms. */
const events = [0, 1].flatMap((layer) => {
  const [host, device, correlation] = [layer * 100, layer * 10_000, 1 + layer * 10];
  const grouped = 'void deep_gemm::m_grouped_fp8_gemm_contiguous_kernel<4096u>(float*)';
  const combine = 'void deep_ep::internode::combine<8>(int4*)';
  return [
    annotation({ name: 'mlp(F)', ts: host, dur: 50 }),
    annotation({ name: 'combine(F)', ts: host + 50, dur: 40 }),
    launch({ correlation, ts: host + 1 }),
    launch({ correlation: correlation + 1, ts: host + 2 }),
    launch({ correlation: correlation + 2, ts: host + 60 }),
    kernel({ name: grouped, ts: 1000 + device, dur: 1500, correlation }),
    kernel({ name: grouped, ts: 2500 + device, dur: 1500, correlation: correlation + 1 }),
    kernel({
      name: combine,
      ts: 1000 + device,
      dur: 6000,
      stream: 9,
      correlation: correlation + 2,
    }),
  ];
});

function traceFile(context: TestContext): string {
  const path = join(temporaryFolder(context), 'run.json');
  writeFileSync(path, JSON.stringify({ traceEvents: events }));
  return path;
}

function args(trace: string, ...more: readonly string[]): readonly string[] {
  const plan = ['--model', 'deepseek-v3', '--cluster', 'h800x2048', '--layers', '2'];
  return ['calibrate', '--trace', trace, ...plan, '--layout', 'pp16,ep64,zero1', ...more];
}

test('calibrate --gpus: the layout is of that many', async (context) => {
  const json = await moebiusJson(...args(traceFile(context), '--gpus', '1024'));
  const { source } = json as unknown as ReturnType<typeof parseCalibration>;
  assert.equal(source.cluster, 'h800x2048 with 1024 GPUs');
  assert.match(source.layout, /dp64/);
});

test('calibrate: rates are work over time, and the file says where it is from', async (context) => {
  const out = join(temporaryFolder(context), 'calibration.json');
  const json = await moebiusJson(...args(traceFile(context), '--out', out));
  const { classes, source, madeOn } = json as unknown as ReturnType<typeof parseCalibration>;
  const of = (name: string): CalibratedClass | undefined =>
    classes.find((each) => each.name === name);
  // Of 256 experts spread evenly over 64 ranks, each has as many rows as its own tokens send.
  const flops = 2 * 4096 * 8 * 3 * 7168 * 2048;
  assert.ok(Math.abs((of('fp8GroupedGemm')?.flopsPerSecond ?? 0) / (flops / 3e-3) - 1) < 1e-9);
  assert.equal(of('combine')?.spread, 0);
  assert.deepEqual([source.trace, source.model, source.layers], ['run.json', 'deepseek-v3', 2]);
  assert.match(madeOn, /^\d{4}-\d{2}-\d{2}$/);
  assert.deepEqual(parseCalibration(readFileSync(out, 'utf8'), out).classes, classes);
});

test('calibrate: people get a table with what has no counterpart', async (context) => {
  const ran = await moebius(...args(traceFile(context)));
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /run\.json against deepseek-v3 on h800x2048, .*2 layers/);
  assert.match(ran.stdout, /^fp8GroupedGemm +4 +6\.0 ms/m);
  assert.match(ran.stdout, /^not in the trace: .*attentionForward/m);
});

test('calibrate: wrong choices are refused with the nearest right one', async (context) => {
  const trace = traceFile(context);
  const cases: readonly (readonly [readonly string[], string, RegExp])[] = [
    [args(trace, '--recompute', 'v2'), 'plan.recompute', /Did you mean "v3"\?/],
    [args(trace, '--precision', 'fp16'), 'plan.precision', /Use one of: fp8, bf16/],
    [args(trace, '--layout', 'pp17'), 'plan.layout', /divide/],
    [args(trace, '--cluster', 'h80x2048'), 'cluster.unknown', /h800/],
    [args(trace, '--cluster', './none.yaml'), 'file.missing', /none\.yaml/],
    [args(trace, '--model', 'deepseek-v33'), 'config.unknownPreset', /deepseek-v3/],
  ];
  for (const [given, code, message] of cases) {
    const ran = await moebius(...given);
    assertRefused(ran, code);
    assert.match(ran.stderr, message);
  }
  const missing = await moebius('calibrate', '--trace', trace);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /--model/);
});
