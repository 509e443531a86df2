/** Exports: only flags that the engine's version has, and every difference said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sampleReport } from '../../../tests/support/samplePlan.ts';
import type { GqaModelConfig, PlannedModel } from '../../config/gqaModelConfig.ts';
import { scheduleNames, type TrainingPlan } from '../../config/parallelPlan.ts';
import { deepseekV2 } from '../../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { presets } from '../../config/presets/presets.ts';
import { pipelineSchedule } from '../../policy/pipeline/pipelineSchedule.ts';
import { formatScheduleCsv } from '../../program/notation.ts';
import type { PlanReport } from '../planReport.ts';
import { checkFlags, commentLines, flagsOf, quoteForShell } from './engineArguments.ts';
import { megatronFlags } from './flags/megatron.ts';
import { torchTitanFlags } from './flags/torchTitan.ts';
import { exportMegatron, layerPattern } from './megatron.ts';
import { exportTorchTitan, torchTitanSchedule } from './torchTitan.ts';

const base = sampleReport();

const llama: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 128256,
  hiddenSize: 16384,
  intermediateSize: 53248,
  numHiddenLayers: 126,
  numAttentionHeads: 128,
  numKeyValueHeads: 8,
  headDim: 128,
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 0,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 131072,
};

/** The sample's report for another model and plan: stages of nearly equal size. */
function reportFor(model: PlannedModel, change: Partial<TrainingPlan> = {}): PlanReport {
  const plan = { ...base.plan, ...change };
  const numChunks = plan.schedule === 'interleaved-1f1b' || plan.schedule === 'dualpipev' ? 2 : 1;
  const numStages = plan.layout.pp * numChunks;
  const layer = (stage: number): number => Math.floor((stage * model.numHiddenLayers) / numStages);
  const stageOf = (stage: number) => ({ first: layer(stage), last: layer(stage + 1) });
  const template = base.ranks[0] ?? assert.fail();
  const ranks = Array.from({ length: plan.layout.pp }, (_, rank) => {
    const mirror = plan.layout.pp - 1 - rank;
    const stages = Array.from({ length: numChunks }, (_each, chunk) =>
      stageOf(chunk * plan.layout.pp + rank),
    );
    if (plan.schedule === 'dualpipe') stages.push(stageOf(mirror));
    return { ...template, rank, stages };
  });
  return { ...base, plan, ranks };
}

const v3 = exportMegatron(reportFor(deepseekV3), deepseekV3);

function argumentsOf(text: string): readonly string[] {
  return [...text.matchAll(/^ {2}(--\S+)(.*)$/gm)].map((match) => `${match[1]}${match[2]}`);
}

test('exports: every schedule, recompute, precision, ZeRO stage and preset uses known flags only', () => {
  const models: readonly PlannedModel[] = [...presets.values(), llama];
  const anyPlan = fc.record({
    schedule: fc.constantFrom(...scheduleNames),
    recompute: fc.constantFrom('none', 'norm', 'swiglu', 'v3', 'full', 'auto'),
    precision: fc.constantFrom('fp8', 'bf16'),
    mtp: fc.boolean(),
    zeroStage: fc.constantFrom(0, 1, 2, 3),
    pp: fc.constantFrom(1, 2, 4),
    ep: fc.constantFrom(1, 8),
    sequenceLength: fc.constantFrom(4096, 32768),
  });
  fc.assert(
    fc.property(anyPlan, fc.constantFrom(...models), (plan, model) => {
      const { pp, ep, zeroStage, ...rest } = plan;
      const layout = { dp: 128, pp, ep, tp: 1, zeroStage } as TrainingPlan['layout'];
      const report = reportFor(model, { ...rest, layout } as Partial<TrainingPlan>);
      const megatron = argumentsOf(exportMegatron(report, model).text);
      const titan = argumentsOf(exportTorchTitan(report, model, 'csv').files['run.sh'] ?? '');
      const known = (names: ReadonlySet<string>, line: string): boolean =>
        names.has(line.split(' ')[0] ?? '');
      assert.ok(megatron.length > 25 && megatron.every((line) => known(megatronFlags.names, line)));
      assert.ok(titan.length > 12 && titan.every((line) => known(torchTitanFlags.names, line)));
      for (const list of [megatron, titan]) {
        const names = list.map((line) => line.split(' ')[0]);
        assert.equal(new Set(names).size, names.length, `a flag is given twice: ${names}`);
      }
    }),
    { numRuns: 200 },
  );
});

test('checkFlags: a flag that the version does not have is our mistake', () => {
  const flags = flagsOf({ '--num-layers': 1, '--dual-pipe': true });
  assert.throws(
    () => checkFlags(flags, megatronFlags),
    /Megatron-LM commit \w+ .* has no --dual-pipe/,
  );
  assert.ok(megatronFlags.names.size > 250 && torchTitanFlags.names.size > 40);
});

test('exportMegatron: DeepSeek-V3 is described as its config.json has it', () => {
  const lines = argumentsOf(v3.text);
  for (const line of [
    '--num-layers 61',
    '--hidden-size 7168',
    '--multi-latent-attention',
    '--q-lora-rank 1536',
    '--kv-lora-rank 512',
    '--qk-layernorm',
    '--attention-dropout 0',
    '--hidden-dropout 0',
    '--qk-head-dim 128',
    '--qk-pos-emb-head-dim 64',
    '--v-head-dim 128',
    '--num-experts 256',
    "--moe-layer-freq '([0]*3+[1]*58)'",
    '--moe-router-topk 8',
    '--moe-router-num-groups 8',
    '--moe-router-group-topk 4',
    '--moe-router-score-function sigmoid',
    '--moe-router-enable-expert-bias',
    '--moe-router-topk-scaling-factor 2.5',
    '--moe-shared-expert-intermediate-size 2048',
    '--mtp-num-layers 1',
    '--expert-model-parallel-size 64',
    '--pipeline-model-parallel-size 16',
    '--fp8-format e4m3',
    '--fp8-recipe blockwise',
    '--recompute-modules layernorm mla_up_proj moe_act',
    '--overlap-moe-expert-parallel-comm',
    '--delay-wgrad-compute',
    '--global-batch-size 15360',
    '--seq-length 4096',
    '--rope-type rope',
  ]) {
    assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  }
  assert.match(v3.text, /--pipeline-model-parallel-layout 'E[t|()*\d]+mL'/);
  assert.ok(v3.text.includes(megatronFlags.version));
});

test('exportMegatron: what Megatron has not is warned of, in the script too', () => {
  const has = (
    change: Partial<TrainingPlan>,
    pattern: RegExp,
    model: PlannedModel = deepseekV3,
  ) => {
    const { text, warnings } = exportMegatron(reportFor(model, change), model);
    assert.ok(
      warnings.some((each) => pattern.test(each)),
      `${pattern} in ${warnings.join('\n')}`,
    );
    const words = text.replace(/\n# {2,}/g, ' ');
    for (const warning of warnings) assert.ok(words.includes(`# ! ${warning}`), warning);
  };
  has({}, /no DualPipe\. .*held once and not twice/);
  has({ schedule: 'dualpipev' }, /no DualPipeV\./);
  has({ schedule: 'zb1p' }, /no ZB1P/);
  has({ schedule: 'gpipe' }, /no GPipe/);
  has({ recompute: 'full' }, /cannot hide the all-to-all/);
  has({ recompute: 'auto' }, /Recompute is "auto"/);
  has({ layout: { ...base.plan.layout, zeroStage: 3 } }, /zero3 became zero1/);
  has({}, /two best; this model does by the best one/, deepseekV2);
  has({}, /base of its rotary embeddings/, llama);
  has({ recompute: 'v3' }, /dense layers by itself/, llama);
  const plain = exportMegatron(
    reportFor(deepseekV3, { schedule: '1f1b', recompute: 'none' }),
    deepseekV3,
  );
  assert.equal(plain.warnings.length, 1);
});

test('exports: a last stage without layers still ends the model', () => {
  const report = reportFor(deepseekV3, { schedule: '1f1b' });
  const stages = Array.from({ length: 16 }, (_, stage) => ({
    first: Math.min(stage * 5, 61),
    last: Math.min(stage * 5 + 5, 61),
  })).filter(({ first, last }, index) => first < last || index === 15);
  const ranks = stages.map((stage, rank) => ({
    ...(report.ranks[0] ?? assert.fail()),
    rank,
    stages: [stage],
  }));
  const { text } = exportMegatron({ ...report, ranks }, deepseekV3);
  assert.ok(text.includes("'Et*5|(t*5|)*11t|mL'"), text);
});

test('exportTorchTitan: the schedule is the table, the stages are a function, the rest flags', () => {
  const { files } = exportTorchTitan(reportFor(deepseekV3), deepseekV3, '0F0,,\n');
  assert.deepEqual(Object.keys(files), ['run.sh', 'schedule.csv', 'moebius_plan.py']);
  assert.equal(files['schedule.csv'], '0F0,,\n');
  const lines = argumentsOf(files['run.sh'] ?? '');
  for (const line of [
    '--training.local_batch_size 120',
    '--parallelism.pipeline_parallel_degree 16',
    '--parallelism.pipeline_parallel_schedule DualPipeV',
    '--parallelism.pipeline_parallel_schedule_csv schedule.csv',
    '--parallelism.expert_parallel_degree 64',
    '--parallelism.data_parallel_shard_degree 128',
  ]) {
    assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  }
  const python = files['moebius_plan.py'] ?? '';
  const rows = [...python.matchAll(/^ {8}\[(.*)\],$/gm)].map((match) =>
    (match[1] ?? '').split(', ').map((name) => name.replaceAll('"', '')),
  );
  assert.equal(rows.length, 32);
  assert.deepEqual(rows.flat(), [
    'tok_embeddings',
    ...Array.from({ length: 61 }, (_, layer) => `layers.${layer}`),
    'norm',
    'output',
  ]);
});

test('exportTorchTitan: what TorchTitan has not is warned of', () => {
  const warn = (change: Partial<TrainingPlan>, model: PlannedModel): string =>
    exportTorchTitan(reportFor(model, change), model, '').warnings.join('\n');
  assert.match(warn({}, deepseekV3), /DualPipe needs[\s\S]*hides no all-to-all[\s\S]*no zero1/);
  assert.match(warn({}, deepseekV3), /MTP is not trained[\s\S]*FP8[\s\S]*"v3" became/);
  assert.match(warn({}, deepseekV2), /no configuration of this model/);
  const quiet = warn(
    {
      schedule: '1f1b',
      recompute: 'none',
      mtp: false,
      precision: 'bf16',
      layout: { ...base.plan.layout, ep: 1, zeroStage: 3 },
    },
    llama,
  );
  assert.deepEqual(quiet.split('\n').length, 2);
});

test('torchTitanSchedule: each of ours has one of theirs, and says which table it wants', () => {
  const names = scheduleNames.map((schedule) => {
    const { ours, theirs } = torchTitanSchedule({ ...base.plan, schedule });
    return [schedule, ours, theirs];
  });
  assert.deepEqual(names, [
    ['gpipe', 'gpipe', 'GPipe'],
    ['1f1b', '1f1b', '1F1B'],
    ['interleaved-1f1b', 'interleaved-1f1b', 'Interleaved1F1B'],
    ['zb1p', 'zb1p', '1F1B'],
    ['dualpipe', 'dualpipev', 'DualPipeV'],
    ['dualpipev', 'dualpipev', 'DualPipeV'],
  ]);
});

test('torchTitanSchedule: the table puts each stage on the rank where TorchTitan builds it', () => {
  // Loop: rank r has r, r + P …; V: r and 2P − 1 − r (torchtitan/distributed/pipeline_parallel.py).
  const [numRanks, numMicroBatches] = [4, 8];
  for (const schedule of scheduleNames) {
    const { ours, theirs } = torchTitanSchedule({ ...base.plan, schedule });
    const { ranks } = pipelineSchedule({ name: ours, numRanks, numMicroBatches });
    const csv = formatScheduleCsv(ranks, { pairs: 'apart' });
    const rows = csv.trimEnd().split('\n');
    assert.equal(rows.length, numRanks);
    for (const [rank, row] of rows.entries()) {
      const stages = [...row.matchAll(/(\d+)(?:F|B|I|W)\d+/g)].map((match) => Number(match[1]));
      const second = theirs === 'DualPipeV' ? 2 * numRanks - 1 - rank : rank + numRanks;
      const isMulti = theirs === 'DualPipeV' || theirs === 'Interleaved1F1B';
      assert.deepEqual([...new Set(stages)].sort(), isMulti ? [rank, second] : [rank], schedule);
    }
  }
});

test('exports: a hostile name stays in its comment, a strange value in its quotes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      const { text } = exportMegatron({ ...reportFor(deepseekV3), model: name }, deepseekV3);
      const body = text.slice(text.indexOf('\nset -euo'));
      assert.equal(body, v3.text.slice(v3.text.indexOf('\nset -euo')));
      const head = text.slice(0, text.indexOf('\nset -euo')).split(/[\n\r\u2028\u2029]/);
      assert.ok(head.every((line) => line.startsWith('#')));
    }),
    { numRuns: 50 },
  );
  assert.deepEqual(commentLines('a\nrm -rf /\u2028b'), ['# a rm -rf / b']);
  assert.equal(quoteForShell("it's $(x)"), `'it'\\''s $(x)'`);
  assert.equal(quoteForShell('fp32'), 'fp32');
});

test('layerPattern: runs of dense and of expert layers', () => {
  assert.equal(layerPattern([false, false, false, true, true]), '([0]*3+[1]*2)');
  assert.equal(layerPattern([true, false, true]), '([1]*1+[0]*1+[1]*1)');
});
