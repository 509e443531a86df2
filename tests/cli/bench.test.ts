/**
 * Benchmarks run and say what they measured: keys, finite numbers, refusals, and the bytes that
 * they reckon with. No timing is a test.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { performancePage } from '../../bench/performancePage.ts';
import { drawPicture, readOperations, shortName } from '../../bench/picture.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { compareInTurns, type Turn } from '../../src/cli/bench/compareBench.ts';
import { runCommand } from '../../src/cli/bench/runCommand.ts';
import { bytesOfPass, expectedExperts } from '../../src/cli/bench/servingCost.ts';
import { createProgram } from '../../src/cli/main.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { activeParameters } from '../../src/config/modelCounts.ts';
import { v3Mini, v3Small } from '../../src/config/presets/small.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { createMetaKernels } from '../../src/kernels/meta.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import { createParameters, type WeightDType } from '../../src/model/parameters.ts';
import {
  assertRefused,
  type Json,
  jsonOf,
  lastLine,
  moebius,
  moebiusJson,
} from '../support/commandLine.ts';
import { goldenRoot } from '../support/golden.ts';
import { readProjectFile } from '../support/projectFiles.ts';
import { temporaryFolder } from '../support/scripts.ts';

/** Small, with widths that are whole blocks of fp8 scales. */
const small: ModelConfig = {
  ...v3Mini,
  vocabSize: 512,
  hiddenSize: 128,
  intermediateSize: 256,
  moeIntermediateSize: 128,
  numHiddenLayers: 3,
  numNextnPredictLayers: 0,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
};

function smallConfig(context: TestContext): string {
  const path = join(temporaryFolder(context), 'config.json');
  writeFileSync(path, JSON.stringify(serializeModelConfig(small)));
  return path;
}

function assertPositive(json: Json, keys: readonly string[]): void {
  for (const key of keys) {
    assert.ok(Number(json[key]) > 0 && Number.isFinite(json[key]), `${key} is ${json[key]}`);
  }
}

/** What needs the machine's limits is null on the reference kernels, and only there. */
function assertShares(json: Json, keys: readonly string[]): void {
  for (const key of keys) {
    if (json.roofline === null) assert.equal(json[key], null, key);
    else assertPositive(json, [key]);
  }
}

function assertOperations(json: Json, names: readonly string[]): void {
  const operations = json.operations as readonly Json[];
  for (const name of names) {
    assert.ok(
      operations.some(({ operation }) => String(operation).startsWith(name)),
      `${name} is among the operations`,
    );
  }
  const shares = operations.reduce((sum, { shareOfTime }) => sum + Number(shareOfTime), 0);
  assert.ok(Math.abs(shares - 1) < 1e-6, `the shares of the time add up to ${shares}`);
  for (const each of operations.slice(0, -1)) assertPositive(each, ['calls', 'seconds', 'bytes']);
}

test('bench train: ends with its figures and its operations, as JSON', async (context) => {
  const config = ['--config', smallConfig(context)];
  const train = await moebiusJson('bench', 'train', '--tiny', ...config, '--operations');
  const keys = ['tokensPerSecond', 'stepSeconds', 'predictedStepSeconds', 'peakMemoryBytes'];
  assertPositive(train, [...keys, 'flopsPerToken']);
  assertShares(train, ['fmaPeakGflops', 'shareOfPeak']);
  assert.equal(train.validationBitsPerByte, null);
  assert.equal((train.allStepSeconds as readonly number[]).length, 2);
  assertOperations(train, ['matmul', 'groupedMatmul', 'mlaAttention', 'adamw', 'between']);
});

test('bench kernels: the shares of a predicted step add up to one', async () => {
  const kernels = await moebiusJson('bench', 'kernels', '--tiny');
  const operations = kernels.operations as readonly Json[];
  assert.ok(operations.length > 10);
  const shares = operations.reduce((sum, { shareOfStep }) => sum + Number(shareOfStep), 0);
  assert.ok(Math.abs(shares - 1) < 0.01, `the shares of a step add up to ${shares}`);
});

const SERVING_KEYS = ['tokensPerSecond', 'bytesPerToken', 'readBytesPerSecond', 'medianSeconds'];

test('bench decode: every dtype ends with its figures, as JSON', async (context) => {
  const config = smallConfig(context);
  const tiny = ['bench', 'decode', '--tiny', '--config', config];
  const bytes: number[] = [];
  for (const dtype of ['f32', 'bf16', 'f16', 'f8e4m3']) {
    const json = await moebiusJson(...tiny, '--dtype', dtype);
    assertPositive(json, [...SERVING_KEYS, 'peakMemoryBytes', 'weightBytes']);
    assertShares(json, ['shareOfBandwidth', 'shareOfPeak']);
    assertOperations(json, ['mlaDecode', 'feedForwardDecode', 'matmul', 'sampleTokens', 'between']);
    assert.deepEqual(json.dtypes, dtype === 'f32' ? ['f32'] : [dtype, 'f32']);
    assert.equal((json.allSeconds as readonly number[]).length, 3);
    assert.deepEqual([json.expertsPerLayer, json.expertsAre], [4, 'counted']);
    bytes.push(Number(json.bytesPerToken));
  }
  const [f32 = 0, bf16 = 0, f16 = 0, f8 = 0] = bytes;
  assert.ok(f32 > 1.7 * bf16 && bf16 === f16 && f16 > 1.5 * f8, bytes.join());
  // Four passes behind a prompt of 8; the three that are timed see 10, 11 and 12 positions.
  const { vocabSize: V, hiddenSize: H, numHiddenLayers: L } = small;
  const parameters = activeParameters(small).withHead + H + 2 * small.nRoutedExperts;
  const cached = 11 * L * (small.kvLoraRank + small.qkRopeHeadDim);
  assert.ok(V > 0);
  assert.ok(Math.abs(f32 - 4 * (parameters + cached)) < 1, `${f32} of ${parameters}`);
});

test('bench decode: a batch reads the experts that its tokens chose', async (context) => {
  const config = smallConfig(context);
  const json = await moebiusJson('bench', 'decode', '--tiny', '--config', config, '--batch', '6');
  assertPositive(json, SERVING_KEYS);
  const experts = Number(json.expertsPerLayer);
  assert.ok(experts > 4 && experts <= 16, `${experts} experts`);
  assert.equal((json.workload as Json).numSequences, 6);
});

test('bench prefill: ends with its figures; --shapes tells shapes apart', async (context) => {
  const tiny = ['bench', 'prefill', '--tiny', '--config', smallConfig(context)];
  const json = await moebiusJson(...tiny, '--shapes');
  assertPositive(json, SERVING_KEYS);
  assertShares(json, ['shareOfBandwidth', 'shareOfPeak']);
  assertOperations(json, ['matmul', 'groupedMatmul', 'mlaAttention', 'sampleTokens']);
  const names = (json.operations as readonly Json[]).map(({ operation }) => String(operation));
  assert.ok(names.some((name) => /^matmul a=f32\[8,128\]/.test(name)));
});

test('bench decode: a checkpoint runs in the dtypes it is stored in', async () => {
  const model = join(goldenRoot, 'v3-tiny');
  const json = await moebiusJson('bench', 'decode', '--tiny', '--model', model);
  assertPositive(json, SERVING_KEYS);
  const ran = await moebius('bench', 'decode', '--tiny', '--model', model, '--dtype', 'bf16');
  assertRefused(ran, 'bench.dtypeStored');
});

test('bench: what cannot be measured is refused', async (context) => {
  const config = ['--config', smallConfig(context)];
  const dtype = await moebius('bench', 'decode', '--tiny', ...config, '--dtype', 'bf161');
  assertRefused(dtype, 'bench.dtype');
  assert.match(dtype.stderr, /Take bf16\./);
  const long = ['--context', '61'];
  assertRefused(await moebius('bench', 'decode', '--tiny', ...config, ...long), 'bench.length');
  assertRefused(await moebius('bench', 'prefill', ...config, '--prompt', '64'), 'bench.length');
  assertRefused(
    await moebius('bench', 'train', ...config, '--sequence-length', '65'),
    'bench.length',
  );
  assertRefused(await moebius('bench', 'decod'), 'bench.unknown');
});

test('bench: a config that is not there is a missing file, another word no preset', async () => {
  for (const what of ['train', 'kernels', 'decode', 'prefill']) {
    for (const path of ['./x.json', 'x.json', 'no/such/folder']) {
      const ran = await moebius('bench', what, '--config', path);
      assertRefused(ran, 'file.missing');
      assert.ok(ran.stderr.includes(`there is no ${path}`), ran.stderr);
    }
  }
  const compared = ['compare', 'decode', '--peers', '.', '--config', 'x.json'];
  assertRefused(await moebius('bench', ...compared), 'file.missing');
  const preset = await moebius('bench', 'decode', '--config', 'v3-smal');
  assertRefused(preset, 'config.unknownPreset');
  assert.match(preset.stderr, /v3-small/);
});

test('bench: an option that a benchmark does not read is refused, with those that read it', async () => {
  const cases = [
    ['train', '--dtype', 'bf16', 'bench decode, bench prefill, bench serve, bench compare'],
    ['train', '--rounds', '2', 'bench compare train, bench compare decode, bench compare serve'],
    ['kernels', '--operations', '', 'bench train\n'],
    ['decode', '--sequence-length', '32', 'bench train, bench kernels, bench compare train\n'],
    ['decode', '--prompt', '9', 'bench prefill, bench serve, bench compare prefill\n'],
    ['prefill', '--tokens', '3', 'bench decode, bench serve, bench compare decode'],
    ['prefill', '--operations', '', 'bench train\n'],
    ['compare train', '--gguf', 'x', 'bench compare decode, bench compare prefill\n'],
    ['compare train', '--dtype', 'f32', 'bench decode, bench prefill, bench serve, bench compare'],
    ['compare decode', '--steps', '3', 'bench train, bench prefill, bench compare train'],
    ['compare prefill', '--context', '64', 'bench decode, bench compare decode\n'],
  ] as const;
  for (const [name, option, value, readers] of cases) {
    const given = value === '' ? [option] : [option, value];
    const ran = await moebius('bench', ...name.split(' '), ...given, '--json');
    assertRefused(ran, 'bench.option');
    assert.ok(ran.stderr.includes(`bench ${name} does not read ${option} (`), ran.stderr);
    assert.ok(ran.stderr.includes(`    ${option}: ${value === '' ? 'true' : value}\n`), ran.stderr);
    assert.ok(ran.stderr.includes(`    readBy: ${readers}`), ran.stderr);
  }
  assertRefused(await moebius('bench', 'train', 'decode'), 'bench.option');
  const both = ['--model', join(goldenRoot, 'v3-tiny'), '--config', 'v3-mini'];
  assertRefused(await moebius('bench', 'decode', ...both), 'bench.option');
});

test('bench: every option of the command line is one that some benchmark reads', async () => {
  const command = createProgram().commands.find((each) => each.name() === 'bench');
  const options =
    command?.options.map(({ long, required }) => ({ long: `${long}`, required })) ?? [];
  assert.ok(options.length > 15);
  const always = ['--tiny', '--record', '--kernels', '--json'];
  for (const { long, required } of options.filter((each) => !always.includes(each.long))) {
    const value = long === '--shared-prefix' ? '1' : '2';
    const ran = await moebius('bench', 'limits', long, ...(required ? [value] : []));
    assertRefused(ran, 'bench.option');
    assert.match(ran.stderr, /readBy: bench [a-z]/, long);
  }
});

test('bench: what is given counts with --tiny too', async (context) => {
  const config = ['--tiny', '--config', smallConfig(context)];
  const decode = await moebiusJson('bench', 'decode', ...config, '--tokens', '5');
  assert.equal((decode.allSeconds as readonly number[]).length, 5);
  const sizes = ['--batch', '1', '--sequence-length', '16', '--steps', '1'];
  const train = await moebiusJson('bench', 'train', ...config, ...sizes);
  assert.equal((train.allStepSeconds as readonly number[]).length, 1);
  const { tokensPerSecond, stepSeconds } = train;
  assert.ok(
    Math.abs(Number(tokensPerSecond) * Number(stepSeconds) - 16) < 1e-6,
    'one of 16 tokens',
  );
});

test('bench compare: a peer that is not there is named, with what to install', async (context) => {
  const folder = temporaryFolder(context);
  const { MOEBIUS_SHARED } = process.env;
  context.after(() => {
    if (MOEBIUS_SHARED === undefined) delete process.env.MOEBIUS_SHARED;
    else process.env.MOEBIUS_SHARED = MOEBIUS_SHARED;
  });
  process.env.MOEBIUS_SHARED = folder;
  const compare = (...args: readonly string[]) => moebius('bench', 'compare', ...args, '--tiny');
  const peers = ['--peers', folder];
  for (const workload of ['train', 'decode', 'prefill']) {
    const ran = await compare(workload, ...peers);
    assertRefused(ran, 'bench.peerMissing');
    assert.match(ran.stderr, /Set MOEBIUS_SHARED/);
  }
  mkdirSync(join(folder, 'bench'));
  writeFileSync(join(folder, 'bench', 'llamacpp_bench.mjs'), '');
  const ran = await compare('decode', ...peers);
  assertRefused(ran, 'bench.peerMissing');
  assert.match(ran.stderr, /npm install --ignore-scripts .* node-llama-cpp/);
  assertRefused(await compare('decode'), 'bench.peers');
  assertRefused(await compare('decode', ...peers, '--dtype', 'q8'), 'bench.dtype');
  assertRefused(await compare('decode', ...peers, '--context', '32'), 'bench.compareContext');
  const unknown = await compare('trin', ...peers);
  assertRefused(unknown, 'bench.unknown');
  assert.match(unknown.stderr, /Take train\./);
});

test('compareInTurns: A B A B, and ratios pair by pair', async () => {
  const order: string[] = [];
  const turns = (name: string, speeds: readonly number[]) => async (): Promise<Turn> => {
    order.push(name);
    const round = order.filter((each) => each === name).length;
    return { tokensPerSecond: speeds[round - 1] ?? 0, roofline: null, figures: {} };
  };
  const compared = await compareInTurns({
    rounds: 3,
    ours: turns('ours', [10, 30, 24]),
    peer: turns('peer', [10, 10, 12]),
  });
  assert.equal(order.join(' '), 'ours peer ours peer ours peer');
  assert.deepEqual(compared.ratios, [1, 3, 2]);
  assert.equal(compared.ratio, 2);
  assert.deepEqual(compared.ours, { median: 24, least: 10, most: 30 });
});

test('runCommand: gives the last line, and refuses a program that fails or says nothing', async () => {
  const node = (text: string) => ({ file: process.execPath, args: ['-e', text] });
  const print = node('console.log("words"); console.log(JSON.stringify({ a: 1 }))');
  assert.deepEqual(await runCommand(print), { a: 1 });
  for (const text of ['console.error("because"); process.exit(3)', 'console.log("words")']) {
    await assert.rejects(runCommand(node(text)), (error) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, 'bench.peerFailed');
      return true;
    });
  }
});

test('bytesOfPass: v3-small reads what the peers’ page says, in every width', () => {
  const pass = { numTokens: 1, cachedPositions: 0, expertsPerLayer: 4 };
  const megabytes = (dtype: WeightDType): number => {
    const { kernels } = createMetaKernels();
    const set = createParameters({
      kernels,
      arena: kernels.createArena('weights'),
      config: v3Small,
      stage: wholeModel(v3Small),
      withGradients: false,
      dtypeOf: (name) => (name.endsWith('.mlp.gate.weight') ? 'f32' : dtype),
    });
    return bytesOfPass(v3Small, set, pass) / 1e6;
  };
  // 119.7 M numbers without the router's gate, which we count, in 4 and 2 bytes.
  assert.ok(Math.abs(megabytes('f32') / 479 - 1) < 0.005, `${megabytes('f32')}`);
  assert.ok(Math.abs(megabytes('bf16') / 240 - 1) < 0.01, `${megabytes('bf16')}`);
  // Eight bits there carry a scale per 32 numbers (17/16 bytes each), here one per 128 × 128.
  assert.ok(Math.abs(megabytes('f8e4m3') / (127 * (16 / 17)) - 1) < 0.02, `${megabytes('f8e4m3')}`);
});

test('expectedExperts: one token chooses K, many choose all', () => {
  assert.equal(expectedExperts(v3Small, 1), 4);
  assert.ok(Math.abs(expectedExperts(v3Small, 8) - 32 * (1 - 0.875 ** 8)) < 1e-9);
  assert.ok(expectedExperts(v3Small, 1000) > 31.999);
});

test('bench --record: a line of the ledger, from which the page is written', async (context) => {
  const path = join(temporaryFolder(context), 'ledger', 'lines.jsonl');
  const config = smallConfig(context);
  const tiny = ['--tiny', '--config', config, '--record', path];
  lastLine(await moebius('bench', 'decode', ...tiny, '--json'));
  lastLine(await moebius('bench', 'decode', ...tiny, '--json'));
  lastLine(await moebius('bench', 'train', ...tiny, '--operations', '--json'));
  const ledger = readFileSync(path, 'utf8');
  const entries = ledger
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
  assert.equal(entries.length, 3);
  for (const { date, machine, command, figures } of entries) {
    assert.match(String(date), /^\d{4}-\d\d-\d\d$/);
    assert.match(String(machine), /cores.*Node/);
    assert.match(String(command), /^moebius bench (?:decode|train) .*--tiny/);
    assert.doesNotMatch(String(command), /--record|--json/);
    assertPositive(figures as Json, ['tokensPerSecond']);
  }
  const page = 'Before\n<!-- figures: node bench/performancePage.ts --><!-- end of figures -->\n';
  const files = performancePage(ledger, page);
  const names = [
    'docs/performance.md',
    'docs/performance-train.svg',
    'docs/performance-decode.svg',
  ];
  assert.deepEqual([...files.keys()], names);
  const text = files.get('docs/performance.md') ?? '';
  assert.match(text, /^Before\n/);
  assert.equal(text.split('`moebius bench decode').length - 1, 1, 'the latest of each command');
  assert.equal(performancePage(ledger, text).get('docs/performance.md'), text);
});

test('bench --record: a ledger that cannot be written is named, behind the figures', async (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'file');
  writeFileSync(file, 'as it was');
  for (const path of [join(file, 'ledger.jsonl'), join(file, 'deep', 'ledger.jsonl'), folder]) {
    const ran = await moebius('bench', 'limits', '--tiny', '--json', '--record', path);
    assertRefused(ran, 'bench.ledger');
    assert.ok(ran.stderr.includes(`recorded in ${path} (`), ran.stderr);
    assert.equal(typeof jsonOf(ran).machine, 'string');
  }
  assert.equal(readFileSync(file, 'utf8'), 'as it was');
});

test('docs/performance.md: figures and pictures are those of the ledger', () => {
  const page = readProjectFile('docs/performance.md');
  const files = performancePage(readProjectFile('bench/ledger.jsonl'), page);
  for (const [path, text] of files) {
    const message = `${path} is behind the ledger: run node bench/performancePage.ts`;
    assert.ok(readProjectFile(path) === text, message);
  }
});

test('drawPicture: a bar for each operation, filled up to its limit and never further', () => {
  const operations = readOperations({
    operations: [
      { operation: 'adamw', shareOfTime: 0.5, shareOfLimit: 1.1, bound: 'memory' },
      { operation: 'matmul layout:nt', shareOfStep: 0.3, shareOfRoofline: 0.5 },
      { operation: 'add', shareOfTime: 0.004, shareOfLimit: 0.5, bound: 'memory' },
      { operation: 'between operations', shareOfTime: 0.196, shareOfLimit: null, bound: null },
    ],
  });
  const svg = drawPicture({ title: 'A & B', subtitle: '<none>', operations });
  const widths = (kind: string): number[] =>
    [...svg.matchAll(new RegExp(`class="${kind}" x="232".*?width="([\\d.]+)"`, 'g'))].map((match) =>
      Number(match[1]),
    );
  assert.deepEqual(widths('bar'), [400, 240, 3.2, 156.8]);
  assert.deepEqual(widths('memory'), [400, 120, 1.6]);
  assert.match(svg, /A &#38; B/);
  assert.doesNotMatch(svg, /<none>/);
  assert.match(svg, /prefers-color-scheme:dark/);
  assert.throws(() => readOperations({ operations: [] }), /no operations/);
});

test('shortName: what tells calls apart stays', () => {
  assert.equal(shortName('matmul accumulate:true layout:tn'), 'matmul tn +');
  assert.equal(shortName('matmul b.values:bf16 layout:nt'), 'matmul bf16 nt');
  assert.equal(shortName('routeTopK rule.scoring:sigmoid'), 'routeTopK');
  assert.equal(shortName('between operations'), 'between operations');
});
