/** `moebius trace`: its tables, its JSON and CSV, files of every kind, and what it refuses. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertRefused, lastLine, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { annotation, kernel, launch } from '../support/traceFixture.ts';

const events = [
  annotation({ name: 'attn(F)', ts: 0, dur: 50 }),
  launch({ correlation: 1, ts: 1 }),
  launch({ correlation: 2, ts: 2 }),
  kernel({ name: 'nvjet_hsh_128x256', ts: 100, dur: 3000, correlation: 1, grid: [112, 1, 1] }),
  kernel({
    name: 'void deep_ep::internode::dispatch<8>(int)',
    ts: 600,
    dur: 4000,
    stream: 27,
    correlation: 2,
    grid: [20, 1, 1],
  }),
  kernel({ name: 'my_kernel', ts: 4600, dur: 400 }),
];
const gpu = { deviceProperties: [{ name: 'NVIDIA H800', numSms: 132 }] };

function written(context: TestContext, content: string | Uint8Array, name = 'run.json'): string {
  const path = join(temporaryFolder(context), name);
  writeFileSync(path, content);
  return path;
}

test('trace --help: what it takes', async () => {
  const ran = await moebius('trace', '--help');
  assert.equal(
    ran.stdout,
    `Usage: moebius trace [options] <file>

analyse a timeline: overlap, time by class, critical path

Arguments:
  file            a Chrome trace, ours or PyTorch’s, plain or gzip

Options:
  --device <id>   show this device’s tables, not the first’s
  --rules <file>  JSON: [{ "class", "pattern" }] for kernels of your own
  --csv           time by class as CSV, in place of tables
  --json          end with one line of JSON
  -h, --help      display help for command
`,
  );
});

test('trace: tables say what overlaps, where time goes and what everything waits for', async (context) => {
  const path = written(context, JSON.stringify({ ...gpu, traceEvents: events }));
  const { stdout, code } = await moebius('trace', path);
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `run.json: a profile of 4.9 ms, NVIDIA H800 with 132 SMs, 3 kernels

stream  role           spans    busy      idle  longest gap  SMs
──────  ─────────────  ─────  ──────  ────────  ───────────  ───
     7  compute            2  3.4 ms    1.5 ms       1.5 ms  112
    27  communication      1  4.0 ms  0.900 ms     0.500 ms   20

class      role           spans      time   share  SMs
─────────  ─────────────  ─────  ────────  ──────  ───  ────────────────────────
dispatch   communication      1    4.0 ms  54.1 %   20  ████████████████████████
gemm-bf16  compute            1    3.0 ms  40.5 %  112  ██████████████████
other      compute            1  0.400 ms   5.4 %    –  ██▍

busy with        time
─────────────  ──────  ─────────────────────────────
computing      3.4 ms  idle 1.5 ms
communication  4.0 ms  62.5 % hidden, 1.5 ms exposed
  moving data  4.0 ms  62.5 % hidden
  waiting        0 ms
both at once   2.5 ms
nothing          0 ms

phase    times  mean span    busy  moves data  mostly
───────  ─────  ─────────  ──────  ──────────  ───────────────────
attn(F)      1     4.5 ms  4.5 ms      4.0 ms  dispatch, gemm-bf16

critical path: 2 spans, 4.4 ms busy (89.8 %), 0 ms for the host, 0.500 ms other gaps
(between streams: guessed, the trace names no dependency)
class     on the path  of the wall
────────  ───────────  ───────────
dispatch       4.0 ms       81.6 %
other        0.400 ms        8.2 %

      at   longest  device/stream  class
────────  ────────  ─────────────  ────────
0.500 ms    4.0 ms  0/27           dispatch
  4.5 ms  0.400 ms  0/7            other
`,
  );
});

test('trace: the same file as an array, an object or gzip gives the same numbers', async (context) => {
  const text = JSON.stringify(events);
  const { file: _, ...expected } = await moebiusJson('trace', written(context, text));
  assert.equal(expected.wallSeconds, 0.0049);
  for (const [content, name] of [
    [`{"traceEvents": ${text}}`, 'object.json'],
    [gzipSync(text), 'named-like-json.json'],
    [gzipSync(JSON.stringify({ traceEvents: events }, null, 2)), 'trace.json.gz'],
  ] as const) {
    const { file, ...json } = await moebiusJson('trace', written(context, content, name));
    assert.equal(file, name);
    assert.deepEqual(json, expected);
  }
});

test('trace --csv: time by class, and the JSON line still last', async (context) => {
  const path = written(context, JSON.stringify(events));
  const ran = await moebius('trace', path, '--csv', '--json');
  const lines = ran.stdout.trimEnd().split('\n');
  assert.equal(lines[0], 'device,class,role,count,seconds,share');
  assert.equal(lines[1], `0,dispatch,communication,1,0.004,${4000 / 7400}`);
  assert.equal(lines.length, 5);
  assert.equal(lastLine(ran).kind, 'profiler');
});

test('trace --rules: a user’s kernels get a class', async (context) => {
  const path = written(context, JSON.stringify(events));
  const classesOf = async (...options: readonly string[]): Promise<readonly unknown[]> => {
    const [device] = (await moebiusJson('trace', path, ...options)).devices as readonly {
      readonly classes: readonly { readonly name: string }[];
    }[];
    return device?.classes.map(({ name }) => name) ?? [];
  };
  assert.deepEqual(await classesOf(), ['dispatch', 'gemm-bf16', 'other']);
  const rules = written(context, '[{"class": "swiglu", "pattern": "^my_kernel$"}]', 'rules.json');
  assert.deepEqual(await classesOf('--rules', rules), ['dispatch', 'gemm-bf16', 'swiglu']);
  const wrong = written(context, '[{"class": "swigl", "pattern": "x"}]', 'rules.json');
  assertRefused(await moebius('trace', path, '--rules', wrong), 'trace.rules');
});

test('trace: several ranks stand in one table, and --device chooses whose details', async (context) => {
  const ranks = [0, 1].flatMap((device) => [
    kernel({ name: 'nvjet_a', ts: device * 1000, dur: 2000, device }),
    kernel({ name: 'ncclDevKernel_SendRecv', ts: 2500, dur: 1000, device, stream: 20 }),
  ]);
  const path = written(context, JSON.stringify(ranks));
  const { stdout } = await moebius('trace', path);
  assert.match(stdout, /2 devices, 4 kernels/);
  assert.match(stdout, /^ +0 +3\.5 ms +2\.0 ms +1\.0 ms +0\.0 % +0\.500 ms$/m);
  assert.match(stdout, /^ +1 +2\.5 ms +2\.0 ms +1\.0 ms +50\.0 % +1\.0 ms$/m);
  assert.match(stdout, /^device 0$/m);
  assert.match((await moebius('trace', path, '--device', '1')).stdout, /^device 1$/m);
  const ran = await moebius('trace', path, '--device', '7');
  assertRefused(ran, 'trace.device');
  assert.match(ran.stderr, /Use one of: 0, 1\./);
});

test('trace: what is no trace is refused with a sentence', async (context) => {
  const cases: readonly (readonly [string | Uint8Array, string, RegExp])[] = [
    ['', 'trace.malformed', /empty/],
    ['[]', 'trace.empty', /no spans/],
    ['{"a": 1}', 'trace.malformed', /no "traceEvents"/],
    ['PK\u0003\u0004', 'trace.malformed', /zip archive/],
    [gzipSync(JSON.stringify(events)).subarray(0, 60), 'trace.malformed', /damaged gzip/],
    [JSON.stringify([...events, { ...events[3], dur: -4 }]), 'trace.event', /event 6: "dur"/],
  ];
  for (const [content, code, message] of cases) {
    const ran = await moebius('trace', written(context, content));
    assertRefused(ran, code);
    assert.match(ran.stderr, message);
  }
  assertRefused(await moebius('trace', join(temporaryFolder(context), 'none')), 'system.ENOENT');
  assertRefused(await moebius('trace', temporaryFolder(context)), 'system.EISDIR');
});
