/**
 * A plan as arguments of TorchTitan: a shell script, the schedule as the table that
 * `pipeline_parallel_schedule_csv` reads, and a configuration function with the stage split, which
 * its command line cannot say.
 */
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  formatLayout,
  numMicroBatches,
  type ScheduleName,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import type { PlanReport } from '../planReport.ts';
import { checkFlags, commentLines, type Flag, flagsOf, formatFlag } from './engineArguments.ts';
import { torchTitanFlags } from './flags/torchTitan.ts';
import { halve, type StageLayers, stagesOf } from './stageSplit.ts';

export interface TorchTitanExport {
  /** File names and their texts, to lie in one folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

export interface TorchTitanSchedule {
  /** Which of our schedules the table has to hold. */
  readonly ours: ScheduleName;
  /** TorchTitan's name, from which it also learns which rank holds which stages. */
  readonly theirs: string;
}

/**
 * The nearest schedule that TorchTitan can place: a pipeline fed from both ends needs two copies of
 * each stage on two ranks, which it cannot hold, so DualPipe becomes DualPipeV.
 */
export function torchTitanSchedule({ schedule }: TrainingPlan): TorchTitanSchedule {
  switch (schedule) {
    case 'gpipe':
      return { ours: schedule, theirs: 'GPipe' };
    case '1f1b':
    // One stage a rank, as 1F1B has it; the table puts the weight gradients off.
    case 'zb1p':
      return { ours: schedule, theirs: '1F1B' };
    case 'interleaved-1f1b':
      return { ours: schedule, theirs: 'Interleaved1F1B' };
    case 'dualpipe':
    case 'dualpipev':
      return { ours: 'dualpipev', theirs: 'DualPipeV' };
    default:
      return schedule satisfies never;
  }
}

/**
 * @param csv the table of `torchTitanSchedule(plan).ours`, on as many ranks and micro-batches, its
 *   pairs apart (`formatScheduleCsv`): PyTorch before 2.10 reads no pairs
 */
export function exportTorchTitan(
  report: PlanReport,
  model: PlannedModel,
  csv: string,
): TorchTitanExport {
  const { plan } = report;
  const hasPipeline = plan.layout.pp > 1;
  const stages = stagesOf(report, model.numHiddenLayers);
  const rows = plan.schedule === 'dualpipe' ? halve(stages) : stages;
  const base = baseOf(model);
  const flags = titanFlags(report, hasPipeline);
  checkFlags(flags, torchTitanFlags);
  const warnings = warningsOf(report, model, base);
  return {
    files: {
      'run.sh': runScript(report, { flags, base, warnings, hasPipeline }),
      ...(hasPipeline
        ? { 'schedule.csv': csv, 'moebius_plan.py': planConfig(report, { rows, base }) }
        : {}),
    },
    warnings,
  };
}

interface BaseConfig {
  readonly module: string;
  readonly config: string;
  /** Whether that configuration is this very model. */
  readonly isSame: boolean;
}

function baseOf(model: PlannedModel): BaseConfig {
  if (isGqa(model)) {
    const isLlama = model.hiddenSize === 16384 && model.numHiddenLayers === 126;
    return { module: 'llama3', config: 'llama3_405b', isSame: isLlama };
  }
  const keys = ['hiddenSize', 'numHiddenLayers', 'nRoutedExperts', 'moeIntermediateSize'] as const;
  const isSame = keys.every((key) => model[key] === deepseekV3[key]);
  return { module: 'deepseek_v3', config: 'deepseek_v3_671b', isSame };
}

function titanFlags(
  { plan, totalTokens, tokensPerStep }: PlanReport,
  hasPipeline: boolean,
): readonly Flag[] {
  const { dp, pp, ep, tp, zeroStage } = plan.layout;
  const isSharded = zeroStage > 0;
  return flagsOf({
    '--training.local_batch_size': numMicroBatches(plan) * plan.microBatchSize,
    '--training.global_batch_size': plan.globalBatch,
    '--training.seq_len': plan.sequenceLength,
    '--training.steps': totalTokens === null ? null : Math.ceil(totalTokens / tokensPerStep),
    '--parallelism.data_parallel_replicate_degree': isSharded ? 1 : dp,
    '--parallelism.data_parallel_shard_degree': isSharded ? dp : 1,
    '--parallelism.fsdp_reshard_after_forward': zeroStage === 3 ? 'always' : 'never',
    '--parallelism.tensor_parallel_degree': tp,
    '--parallelism.context_parallel_degree': 1,
    '--parallelism.expert_parallel_degree': ep,
    '--parallelism.expert_tensor_parallel_degree': 1,
    '--parallelism.expert_parallel_comm_backend': ep > 1 ? 'deepep' : null,
    '--parallelism.pipeline_parallel_degree': pp,
    '--parallelism.pipeline_parallel_schedule': hasPipeline
      ? torchTitanSchedule(plan).theirs
      : null,
    '--parallelism.pipeline_parallel_schedule_csv': hasPipeline ? 'schedule.csv' : null,
    '--parallelism.pipeline_parallel_microbatch_size': plan.microBatchSize,
    '--activation_checkpoint.mode': recomputeMode(plan),
  });
}

function recomputeMode({ recompute }: TrainingPlan): string | null {
  if (recompute === 'auto') return null;
  return recompute === 'none' || recompute === 'full' ? recompute : 'selective';
}

function warningsOf(report: PlanReport, model: PlannedModel, base: BaseConfig): readonly string[] {
  const { plan } = report;
  const { schedule, layout, recompute, precision } = plan;
  const isDual = schedule === 'dualpipe' || schedule === 'dualpipev';
  const all: readonly (string | false)[] = [
    !base.isSame &&
      `TorchTitan has no configuration of this model: ${base.config} stands in for it, and its ` +
        'sizes must be changed to the model’s.',
    schedule === 'dualpipe' &&
      'TorchTitan cannot hold a stage on two ranks, which DualPipe needs: this is DualPipeV with ' +
        'each stage cut in two. Each weight is held once; the bubble is that of DualPipeV.',
    isDual &&
      layout.ep > 1 &&
      'With a schedule table TorchTitan runs pairs one after the other and hides no all-to-all; ' +
        'leave pipeline_parallel_schedule_csv out to have its own DualPipeV overlap them, which ' +
        'needs --activation_checkpoint.mode none.',
    layout.zeroStage === 1 &&
      'TorchTitan has no zero1: gradients are split too (FSDP that keeps gathered weights).',
    layout.zeroStage === 0 &&
      layout.ep > 1 &&
      'Expert parallelism borrows ranks from FSDP: use zero1.',
    plan.mtp && !isGqa(model) && model.numNextnPredictLayers > 0 && 'MTP is not trained there.',
    precision === 'fp8' &&
      'Its FP8 has one scale a row or tensor, not one for 128 values or a 128 × 128 block.',
    precision === 'bf16' && `${base.config} computes in FP8: take its converters out for BF16.`,
    ['norm', 'swiglu', 'v3'].includes(recompute) &&
      `Recompute "${recompute}" became its selective policy, which keeps and drops other things.`,
    recompute === 'auto' && 'Recompute is "auto" here: name the policy that was found first.',
    'Data, tokenizer, learning rate and checkpoints are no part of a plan: add them behind run.sh.',
  ];
  return all.filter((each) => each !== false);
}

function runScript(
  report: PlanReport,
  {
    flags,
    base,
    warnings,
    hasPipeline,
  }: {
    readonly flags: readonly Flag[];
    readonly base: BaseConfig;
    readonly warnings: readonly string[];
    readonly hasPipeline: boolean;
  },
): string {
  const { plan } = report;
  const opening =
    `${report.model} on ${report.cluster}: ${formatLayout(plan.layout)}, ${plan.schedule}, ` +
    `${report.numGpus} GPUs. Written by moebius for ${torchTitanFlags.engine} ` +
    `${torchTitanFlags.version}.`;
  const config = hasPipeline ? 'moebius_plan' : base.config;
  return [
    '#!/usr/bin/env bash',
    ...commentLines(opening),
    '#',
    ...warnings.flatMap((warning) => commentLines(`! ${warning}`)),
    ...(hasPipeline
      ? commentLines(
          `Put moebius_plan.py behind torchtitan/models/${base.module}/config_registry.py, and ` +
            'schedule.csv where this runs.',
        )
      : []),
    'set -euo pipefail',
    '',
    'ARGUMENTS=(',
    ...flags.map((flag) => `  ${formatFlag(flag)}`),
    ')',
    '',
    `MODULE=${base.module} CONFIG=${config} ./run_train.sh "\${ARGUMENTS[@]}" "$@"`,
    '',
  ].join('\n');
}

function planConfig(
  report: PlanReport,
  { rows, base }: { readonly rows: readonly StageLayers[]; readonly base: BaseConfig },
): string {
  const parts = rows.map(({ first, last }, index) => {
    const layers = Array.from({ length: last - first }, (_, i) => `layers.${first + i}`);
    const names = [
      ...(index === 0 ? ['tok_embeddings'] : []),
      ...layers,
      ...(index === rows.length - 1 ? ['norm', 'output'] : []),
    ];
    return `        [${names.map((name) => `"${name}"`).join(', ')}],`;
  });
  return [
    ...commentLines(
      `The stages of ${report.model} on ${report.cluster}. Append to ` +
        `torchtitan/models/${base.module}/config_registry.py of ${torchTitanFlags.version}.`,
    ),
    '',
    '',
    'def moebius_plan() -> Trainer.Config:',
    `    config = ${base.config}()`,
    '    config.parallelism.module_fqns_per_model_part = [',
    ...parts,
    '    ]',
    '    return config',
    '',
  ].join('\n');
}
