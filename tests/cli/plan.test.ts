/** `moebius plan train`: its JSON, tables, files, help and refusals. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkChromeTrace } from '../../src/program/checkChromeTrace.ts';
import { assertRefused, type Json, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';

const v3 = ['plan', 'train', '--model', 'deepseek-v3', '--cluster', 'h800x2048'];
const own = [...v3, '--layout', 'pp16,ep64,zero1', '--schedule', 'dualpipe'];

test('plan train --json: the stable keys, and numbers that agree with each other', async () => {
  const json = await moebiusJson(...own);
  const keys = [
    ...['stepSeconds', 'tokensPerDay', 'mfuCausal', 'mfuNonCausal', 'tflopsCausal'],
    ...['bubbleSeconds', 'phases', 'memoryBytesPerRank', 'peakMemoryBytes', 'gpuHours'],
    ...['dollars', 'sources'],
  ];
  assert.deepEqual(
    keys.filter((key) => !(key in json)),
    [],
  );
  const number = (key: string): number => json[key] as number;
  const near = (a: number, b: number): void => assert.ok(Math.abs(a / b - 1) < 1e-9, `${a} ${b}`);
  near(number('tokensPerDay'), (15360 * 4096 * 86400) / number('stepSeconds'));
  near(number('mfuCausal') * 989.4, number('tflopsCausal'));
  near(number('gpuHours') * 2, number('dollars'));
  near(number('gpuHours'), (14.8e12 / number('tokensPerDay')) * 24 * 2048);
  const phases = json.phases as Record<string, number>;
  assert.deepEqual(Object.keys(phases).sort(), ['1B', '1F', '1F1B', '1W', 'bubble', 'optimizer']);
  near(
    Object.values(phases).reduce((sum, seconds) => sum + seconds, 0),
    number('stepSeconds'),
  );
  const memory = json.memoryBytesPerRank as number[];
  assert.equal(memory.length, 16);
  assert.equal(Math.max(...memory), number('peakMemoryBytes'));
  assert.ok((json.sources as unknown[]).length > 10);
  const published = json.published as { stepSeconds: number; phases: object };
  assert.equal(published.stepSeconds, 19.926);
  assert.deepEqual(Object.keys(published.phases).sort(), Object.keys(phases).sort());
});

test('plan train: tables with the published rows beside ours, and how to get it again', async () => {
  const { code, stdout, stderr } = await moebius(...own);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /^deepseek-v3 on h800x2048$/m);
  assert.match(stdout, /^step +1\d\.\d\d s +± \d/m);
  assert.match(stdout, /ISCA 2025, table 4, MPFT; not used for the estimate/);
  assert.match(stdout, /npx moebius plan train --model deepseek-v3 --cluster h800x2048/);
});

test('plan train: the command to get it again gives the very same numbers', async () => {
  const asked = [
    ...['plan', 'train', '--model', 'Qwen3-30B-A3B', '--cluster', 'h100x1024', '--gpus', '64'],
    ...['--layout', 'ep8,zero1', '--global-batch', '128', '--micro-batch', '2', '--no-mtp'],
    ...['--sequence-length', '2048', '--precision', 'bf16', '--recompute', 'full'],
    ...['--tokens', '1e12', '--imbalance', '1.5'],
    ...[
      '--what-if',
      'scaleUp.bytesPerSecond=600 GB/s both ways',
      '--what-if',
      'communicationSms=8',
    ],
  ];
  const first = await moebius(...asked);
  const again = /^npx moebius (plan train .*)$/m.exec(first.stdout)?.[1] ?? '';
  const words = [...again.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word);
  const second = await moebius(...(words as string[]));
  assert.equal(first.code, 0, first.stderr);
  assert.equal(second.stdout, first.stdout);
});

test('plan train: a model’s name in capitals is the same model, published run and all', async () => {
  const capitals = ['plan', 'train', '--model', 'DeepSeek-V3', '--cluster', 'H800x2048'];
  const [a, b] = [
    await moebius(...own, '--csv'),
    await moebius(...capitals, ...own.slice(6), '--csv'),
  ];
  assert.equal(a.stdout, b.stdout);
});

test('plan train: options without effect say so', async () => {
  const { code, stderr } = await moebius(
    ...['plan', 'train', '--model', 'llama-3.1-8b', '--cluster', 'h100x64', '--layout', 'zero1'],
    ...['--imbalance', '3', '--no-mtp', '--out', 'nowhere'],
  );
  assert.equal(code, 0);
  for (const name of ['--imbalance', '--no-mtp', '--out']) {
    assert.match(stderr, new RegExp(`^note: ${name} changes nothing: `, 'm'));
  }
});

test('plan train --gpus: the report names the cluster with its size, published rows are left out', async () => {
  const half = await moebius(...own, '--gpus', '1024');
  assert.match(half.stdout, /^deepseek-v3 on h800x2048 with 1024 GPUs$/m);
  const bf16 = await moebius(...own, '--precision', 'bf16', '--recompute', 'full');
  assert.equal(bf16.code, 0, bf16.stderr);
  assert.doesNotMatch(half.stdout + bf16.stdout, /ISCA 2025, table 4, MPFT/);
});

test('plan train --trace: a Chrome trace that passes the schema check', async (context) => {
  const file = join(temporaryFolder(context), 'step.json');
  const { code } = await moebius(...own, '--trace', file);
  assert.equal(code, 0);
  const trace = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: unknown[] };
  assert.deepEqual(checkChromeTrace(trace), []);
  assert.ok(trace.traceEvents.length > 10_000);
});

test('plan train --html, --csv, --export: written, with the plan’s numbers in them', async (context) => {
  const folder = temporaryFolder(context);
  const html = join(folder, 'reports', 'v3', 'plan.html');
  const ran = await moebius(
    ...own,
    '--csv',
    '--html',
    html,
    '--export',
    'megatron',
    '--out',
    folder,
  );
  assert.equal(ran.code, 0);
  assert.match(readFileSync(html, 'utf8'), /^<!doctype html>[\s\S]*deepseek-v3[\s\S]*h800x2048/i);
  const [header, row] = ran.stdout.trim().split('\n');
  assert.equal(header?.split(',').length, row?.split(',').length);
  assert.match(row ?? '', /^deepseek-v3,h800x2048,2048,16,64,1,128,1,dualpipe,/);
  const script = readFileSync(join(folder, 'megatron.sh'), 'utf8');
  assert.match(script, /--pipeline-model-parallel-size 16/);
  assert.match(script, /--expert-model-parallel-size 64/);
});

test('plan train: dense models, other chips, BF16', async () => {
  const llama = await moebiusJson(
    ...['plan', 'train', '--model', 'llama-3.1-405b', '--cluster', 'h100x16384'],
    ...['--layout', 'tp8,pp16,zero1', '--schedule', 'interleaved-1f1b', '--chunks', '7'],
  );
  assert.ok((llama.mfuCausal as number) > 0.2 && (llama.mfuCausal as number) < 0.6);
  const ascend = await moebiusJson(
    ...['plan', 'train', '--model', 'deepseek-v2', '--cluster', 'ascend-910bx1024'],
    ...['--layout', 'pp8,ep16,zero1'],
  );
  assert.equal((ascend.plan as { precision: string }).precision, 'bf16');
});

test('plan train: a cluster file with units, and one without', async (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'cluster.yaml');
  writeFileSync(file, 'extends: h800x2048\nscaleUp: { bytesPerSecond: 900 GB/s both ways }\n');
  const json = await moebiusJson(
    ...['plan', 'train', '--model', 'deepseek-v3', '--cluster', file],
    ...['--layout', 'pp16,ep64,zero1'],
  );
  assert.equal((json.derived as Record<string, number>).scaleUpBytesPerSecond, 450e9);
  writeFileSync(file, 'extends: h800x2048\nscaleUp: { bytesPerSecond: 900 }\n');
  const refused = await moebius(
    ...['plan', 'train', '--model', 'deepseek-v3', '--cluster', file, '--layout', 'pp16'],
  );
  assertRefused(refused, 'quantity.noUnit');
});

test('plan train: a cluster file that is no YAML is refused with the line', async (context) => {
  const file = join(temporaryFolder(context), 'cluster.yaml');
  for (const text of [
    'extends: h800x2048\nnumGpus: 2048\nnumGpus: 1024\n',
    'extends: h800x2048\n  gpu: [\n',
    '{ extends: h800x2048\n',
    'extends: h800x2048\n---\nextends: h100x1024\n',
  ]) {
    writeFileSync(file, text);
    const refused = await moebius('plan', 'train', '--model', 'deepseek-v3', '--cluster', file);
    assertRefused(refused, 'config.syntax');
    assert.match(refused.stderr, /line \d/);
  }
});

test('plan train: what cannot be planned is refused with the value and the fix', async () => {
  const refused = async (code: string, ...args: string[]): Promise<void> =>
    assertRefused(await moebius(...args), code);
  await refused('plan.layout', ...v3, '--layout', 'pp16,ep60,zero1');
  await refused('plan.layout', ...v3, '--layout', 'pp15');
  await refused('plan.layout', ...v3, '--layout', 'pp16,pq2');
  await refused('plan.schedule', ...own.slice(0, -1), 'dualpip');
  await refused('plan.batch', ...own, '--global-batch', '1000');
  await refused('plan.size', ...own, '--global-batch', '1280000000');
  await refused('plan.stages', ...own.slice(0, -1), 'interleaved-1f1b', '--chunks', '1000000000');
  await refused('plan.imbalance', ...v3, '--layout', 'pp16,ep8,zero1', '--imbalance', '9');
  await refused('plan.imbalance', ...own, '--imbalance', '33');
  await refused('plan.expertLoad', ...own, '--expert-loads', '2,40');
  await refused('plan.recompute', ...own, '--recompute', 'some');
  await refused('plan.export', ...own, '--export', 'deepspeed');
  await refused('config.unknownPreset', ...own, '--model', 'deepseek-v9');
  await refused('file.missing', ...own, '--cluster', './nowhere.yaml');
  await refused('quantity.noUnit', ...own, '--what-if', 'gpu.memoryBytesPerSecond=5');
  await refused('plan.memory', ...own, '--recompute', 'none');
});

test('plan train: a plan that does not fit comes with three ways to make it fit', async () => {
  const { stderr } = await moebius(...own, '--recompute', 'none');
  assert.match(stderr, /rank \d+ needs [\d.]+ GiB of [\d.]+ GiB/);
  assert.equal(stderr.match(/GiB less\)\.(?: Or: |$)/gm)?.length, 3);
});

test('plan --help: what it plans', async () => {
  assert.equal((await moebius('plan', '--help')).stdout, PLAN_HELP);
});

test('plan shapes: a row for each neighbour of the model, each with a plan', async () => {
  const json = await moebiusJson(
    ...['plan', 'shapes', '--model', 'moonlight-16b-a3b', '--cluster', 'h800x16'],
    ...['--vary', 'kvLoraRank=256,1024', '--layout', 'pp1,tp1,ep8,zero1', '--recompute', 'v3'],
  );
  const rows = json.rows as { label: string; isToday: boolean; tokensPerDay: number }[];
  assert.equal(rows.length, 3);
  assert.equal(rows.filter(({ isToday }) => isToday).length, 1);
  assert.ok(rows.every(({ tokensPerDay }) => tokensPerDay > 0));
  const dense = ['plan', 'shapes', '--model', 'llama-3.1-8b', '--cluster', 'h800x16'];
  assertRefused(await moebius(...dense), 'shapes.model');
});

test('plan train --help: every option with what it is by default', async () => {
  assert.equal((await moebius('plan', 'train', '--help')).stdout, TRAIN_HELP);
});

const PLAN_HELP = `Usage: moebius plan [options] [command]

what training a model on described hardware comes to

Options:
  -h, --help           display help for command

Commands:
  train [options]      plan and simulate training: seconds, memory, MFU, days,
                       dollars
  shapes [options]     co-design the other way round: shapes of a model, each
                       with its best plan
  scorecard [options]  published runs, planned again: how far the planner is
                       off, row by row
  help [command]       display help for command
`;

const TRAIN_HELP = `Usage: moebius plan train [options]

plan and simulate training: seconds, memory, MFU, days, dollars

Options:
  --model <name|file>     a preset, a config.json, or a checkpoint’s folder
  --cluster <name|file>   a preset as h800x2048, or a YAML file
  --gpus <n,…>            as many GPUs of that kind; several compete
  --layout <words>        as pp16,ep64,zero1; a range as ep8-64 or none is
                          searched
  --search                search what the layout leaves open
  --deadline-days <n>     search: the cheapest within so many days
  --budget-dollars <n>    search: the fastest for so much
  --schedule <name>       gpipe, 1f1b, interleaved-1f1b, zb1p, dualpipe or
                          dualpipev
  --chunks <n>            interleaved-1f1b: model chunks of each rank
  --global-batch <n>      sequences of a step; the published run’s
  --micro-batch <n>       sequences of a micro-batch; 1
  --sequence-length <n>   tokens of a sequence
  --precision <name>      fp8 or bf16
  --recompute <name>      none, norm, swiglu, v3, full or auto
  --no-mtp                without multi-token prediction
  --tokens <n>            tokens of the whole run
  --imbalance <x>         busiest rank’s load over the mean; 1.23
  --what-if <path=value>  beside it, as gpu.memoryBytesPerSecond*=2; repeat
  --idea <name>           beside it, an idea of the papers; repeat for more
  --ideas                 beside it, every idea alone and all together
  --expert-loads <x,…>    beside it, steps whose hottest expert has x times the
                          mean
  --calibration <file>    factors from a trace, as moebius calibrate writes them
  --trace <file>          write the step as a Chrome trace
  --html <file>           write a report with pictures
  --export <engine>       write arguments of megatron or torchtitan
  --out <dir>             the export’s folder; plan
  --csv                   one row in place of tables
  --json                  end with one line of JSON
  -h, --help              display help for command
`;

test('plan shapes --help: every option with what it is by default', async () => {
  assert.equal((await moebius('plan', 'shapes', '--help')).stdout, SHAPES_HELP);
});

const SHAPES_HELP = `Usage: moebius plan shapes [options]

co-design the other way round: shapes of a model, each with its best plan

Options:
  --model <name|file>    a preset, a config.json, or a checkpoint’s folder
  --cluster <name|file>  a preset as h800x2048, or a YAML file
  --vary <axis=values>   as nRoutedExperts=128,512; half and twice of each
  --combine              every combination, not one axis at a time
  --budget <what>        total, active or flops stays the same (default:
                         "active")
  --tolerance <share>    by which the budget may be off (default: 0.05)
  --gpus <n,…>           as many GPUs of that kind; several compete
  --layout <words>       what is fixed of every plan
  --schedule <name>      of every plan
  --global-batch <n>     sequences of a step; the published run’s
  --micro-batch <n>      sequences of a micro-batch; 1
  --sequence-length <n>  tokens of a sequence
  --precision <name>     fp8 or bf16
  --recompute <name>     of every plan
  --no-mtp               without multi-token prediction
  --tokens <n>           tokens of the whole run
  --imbalance <x>        busiest rank’s load over the mean; 1.23
  --json                 end with one line of JSON
  -h, --help             display help for command
`;

test('plan train: changes that nobody knows are refused before the search, not after', async () => {
  for (const change of [
    ['--idea', 'warp'],
    ['--what-if', 'gpu.warp=3'],
  ]) {
    const args = ['plan', 'train', '--model', 'v3-small', '--cluster', 'h800x64', ...change];
    const { code, stderr } = await moebius(...args);
    assert.notEqual(code, 0);
    assert.match(stderr, /warp/);
    assert.doesNotMatch(stderr, /searching/);
  }
});

test('plan train: a folder of a grouped-query model is read like its config.json', async (context) => {
  const folder = temporaryFolder(context);
  const config = {
    ...{ model_type: 'llama', vocab_size: 32000, hidden_size: 1024, intermediate_size: 2816 },
    ...{ num_hidden_layers: 8, num_attention_heads: 16, max_position_embeddings: 2048 },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const rest = ['--cluster', 'h800x64', '--layout', 'pp2', '--global-batch', '64'];
  const of = (model: string): Promise<Json> =>
    moebiusJson('plan', 'train', '--model', model, ...rest);
  const [whole, file] = [await of(folder), await of(join(folder, 'config.json'))];
  assert.equal(whole.stepSeconds, file.stepSeconds);
});

test('plan train --trace: files of many ranks carry the name that was asked for', async (context) => {
  const folder = temporaryFolder(context);
  const asked = [
    '--layout',
    'tp8,pp64',
    '--global-batch',
    '128',
    '--trace',
    join(folder, 's.json'),
  ];
  await moebius('plan', 'train', '--model', 'llama-3.1-405b', '--cluster', 'h100x1024', ...asked);
  const names = readdirSync(folder).toSorted();
  assert.deepEqual(names, ['s-ranks-0-to-31.json', 's-ranks-32-to-63.json']);
});

test('--what-if: a name that every object has is no path of a cluster', async () => {
  const args = ['plan', 'train', '--model', 'v3-small', '--cluster', 'h800x64'];
  assertRefused(await moebius(...args, '--what-if', 'toString=3'), 'config.unknownKey');
});

test('plan train: the row of the other precision is the plan that --precision gives', async () => {
  for (const recompute of ['auto', 'full']) {
    const asked = [...own, '--recompute', recompute];
    const [fp8, bf16] = [
      await moebiusJson(...asked),
      await moebiusJson(...asked, '--precision', 'bf16'),
    ];
    const beside = fp8.otherPrecision as Json;
    assert.equal(beside.stepSeconds, bf16.stepSeconds, recompute);
    assert.equal(beside.peakMemoryBytes, bf16.peakMemoryBytes, recompute);
  }
});

test('plan train --what-if: today’s row is the report’s step, however memory cut the layers', async () => {
  const changes = ['--what-if', 'scaleOut.nicsPerNode=1', '--expert-loads', '1'];
  const plan = await moebiusJson(...own, ...changes, '--imbalance', '1');
  const [today] = plan.whatIfs as readonly Json[];
  const [even] = plan.expertLoads as readonly Json[];
  assert.equal(today?.stepSeconds, plan.stepSeconds);
  assert.equal(even?.stepSeconds, plan.stepSeconds);
});
