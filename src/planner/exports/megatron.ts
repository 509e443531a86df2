/**
 * A plan as arguments of Megatron-LM, in a shell script.
 *
 * Megatron has 1F1B and interleaved 1F1B, the latter with the all-to-all of one micro-batch over
 * another's computing. It has neither DualPipe nor zero bubbles: what comes nearest is written, and
 * every difference is said in the script and given back.
 */
import { formatCount } from '../../base/units.ts';
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import { isMoeLayer, type ModelConfig } from '../../config/modelConfig.ts';
import { formatLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import type { PlanReport } from '../planReport.ts';
import {
  checkFlags,
  commentLines,
  type Export,
  type Flag,
  flagsOf,
  formatFlag,
} from './engineArguments.ts';
import { megatronFlags } from './flags/megatron.ts';
import { megatronLayout } from './megatronLayout.ts';
import { halve, stagesOf } from './stageSplit.ts';

/** Flags under one heading, and what had to be left unsaid. */
interface Group {
  readonly title: string;
  readonly flags: readonly Flag[];
  readonly warnings: readonly string[];
}

export function exportMegatron(report: PlanReport, model: PlannedModel): Export {
  const pipeline = pipelineGroup(report, model);
  const groups = [
    isGqa(model) ? denseGroup(model) : latentGroup(model, report.plan),
    expertGroup(model, report.plan),
    parallelGroup(report.plan),
    pipeline,
    precisionGroup(model, report.plan),
    recomputeGroup(model, report.plan),
    batchGroup(report),
  ].filter(({ flags, warnings }) => flags.length + warnings.length > 0);
  for (const { flags } of groups) checkFlags(flags, megatronFlags);
  const warnings = [
    ...groups.flatMap((group) => group.warnings),
    'Data, tokenizer, learning rate, balance coefficients and checkpoints are no part of a plan: ' +
      'add them behind the script’s name.',
  ];
  return {
    text: scriptOf(report, { groups, warnings, hasOverlap: pipeline.hasOverlap }),
    warnings,
  };
}

function scriptOf(
  report: PlanReport,
  {
    groups,
    warnings,
    hasOverlap,
  }: {
    readonly groups: readonly Group[];
    readonly warnings: readonly string[];
    readonly hasOverlap: boolean;
  },
): string {
  const { plan } = report;
  const opening =
    `${report.model} on ${report.cluster}: ${formatLayout(plan.layout)}, ${plan.schedule}, ` +
    `${report.numGpus} GPUs. Written by moebius for ${megatronFlags.engine} ` +
    `${megatronFlags.version}.`;
  // Overlap wants streams that run at once; tensor parallelism wants them in order.
  const connections = hasOverlap ? 32 : 1;
  return [
    '#!/usr/bin/env bash',
    ...commentLines(opening),
    '#',
    ...warnings.flatMap((warning) => commentLines(`! ${warning}`)),
    'set -euo pipefail',
    `export CUDA_DEVICE_MAX_CONNECTIONS=${connections}`,
    `GPUS_PER_NODE=\${GPUS_PER_NODE:-8}`,
    '',
    'ARGUMENTS=(',
    ...groups
      .filter(({ flags }) => flags.length > 0)
      .flatMap(({ title, flags }) => [
        `  # ${title}`,
        ...flags.map((flag) => `  ${formatFlag(flag)}`),
      ]),
    ')',
    '',
    `torchrun --nnodes $((${report.numGpus} / GPUS_PER_NODE)) --nproc-per-node "$GPUS_PER_NODE" \\`,
    `  pretrain_gpt.py "\${ARGUMENTS[@]}" "$@"`,
    '',
  ].join('\n');
}

const COMMON = {
  '--normalization': 'RMSNorm',
  '--swiglu': true,
  '--disable-bias-linear': true,
  '--position-embedding-type': 'rope',
  // The engine's own defaults are 0.1.
  '--attention-dropout': 0,
  '--hidden-dropout': 0,
} as const;

function latentGroup(model: ModelConfig, plan: TrainingPlan): Group {
  const scaling = model.ropeScaling;
  const isStretched =
    scaling !== null && plan.sequenceLength > scaling.originalMaxPositionEmbeddings;
  const warnings =
    isStretched &&
    (scaling.originalMaxPositionEmbeddings !== 4096 ||
      scaling.betaFast !== 32 ||
      scaling.betaSlow !== 1)
      ? [
          'YaRN’s original length and betas have no flag: Megatron takes 4096, 32 and 1, this ' +
            `model ${scaling.originalMaxPositionEmbeddings}, ${scaling.betaFast} and ` +
            `${scaling.betaSlow}.`,
        ]
      : [];
  return {
    title: 'model',
    flags: flagsOf({
      '--num-layers': model.numHiddenLayers,
      '--hidden-size': model.hiddenSize,
      '--ffn-hidden-size': model.intermediateSize,
      '--num-attention-heads': model.numAttentionHeads,
      '--padded-vocab-size': model.vocabSize,
      '--max-position-embeddings': Math.max(model.maxPositionEmbeddings, plan.sequenceLength),
      ...COMMON,
      '--norm-epsilon': model.rmsNormEps,
      '--untie-embeddings-and-output-weights': !model.tieWordEmbeddings,
      '--rotary-base': model.ropeTheta,
      '--multi-latent-attention': true,
      '--q-lora-rank': model.qLoraRank,
      '--qk-layernorm': true,
      '--kv-lora-rank': model.kvLoraRank,
      '--qk-head-dim': model.qkNopeHeadDim,
      '--qk-pos-emb-head-dim': model.qkRopeHeadDim,
      '--v-head-dim': model.vHeadDim,
      '--rope-type': isStretched ? 'yarn' : 'rope',
      '--rotary-scaling-factor': isStretched ? scaling.factor : null,
      '--mscale': isStretched ? scaling.mscale : null,
      '--mscale-all-dim': isStretched ? scaling.mscaleAllDim : null,
    }),
    warnings,
  };
}

function denseGroup(model: Extract<PlannedModel, { modelType: 'gqa' }>): Group {
  return {
    title: 'model',
    flags: flagsOf({
      '--num-layers': model.numHiddenLayers,
      '--hidden-size': model.hiddenSize,
      '--ffn-hidden-size': model.intermediateSize,
      '--num-attention-heads': model.numAttentionHeads,
      '--group-query-attention': true,
      '--num-query-groups': model.numKeyValueHeads,
      '--kv-channels': model.headDim,
      '--qk-layernorm': model.qkNorm === true,
      '--padded-vocab-size': model.vocabSize,
      '--max-position-embeddings': model.maxPositionEmbeddings,
      ...COMMON,
      '--untie-embeddings-and-output-weights': !model.tieWordEmbeddings,
    }),
    warnings: [
      'The model’s description says neither the base of its rotary embeddings nor whether ' +
        'queries have a bias: set --rotary-base and --add-qkv-bias as its publisher does.',
    ],
  };
}

/** `([0]*3+[1]*58)`: runs of dense and of expert layers. */
export function layerPattern(isExpert: readonly boolean[]): string {
  const runs: { value: number; length: number }[] = [];
  for (const each of isExpert) {
    const last = runs.at(-1);
    if (last !== undefined && last.value === Number(each)) last.length++;
    else runs.push({ value: Number(each), length: 1 });
  }
  return `(${runs.map(({ value, length }) => `[${value}]*${length}`).join('+')})`;
}

function expertGroup(model: PlannedModel, { layout }: TrainingPlan): Group {
  const title = 'experts';
  if (model.nRoutedExperts === 0) return { title, flags: [], warnings: [] };
  const layers = Array.from({ length: model.numHiddenLayers }, (_, layer) =>
    isGqa(model) ? layer >= model.firstKDenseReplace : isMoeLayer(model, layer),
  );
  const shared = {
    '--num-experts': model.nRoutedExperts,
    '--moe-ffn-hidden-size': model.moeIntermediateSize,
    '--moe-shared-expert-intermediate-size':
      model.nSharedExperts === 0 ? null : model.nSharedExperts * model.moeIntermediateSize,
    '--moe-layer-freq': layerPattern(layers),
    '--moe-router-topk': model.numExpertsPerTok,
    '--moe-grouped-gemm': true,
    '--moe-permute-fusion': true,
    '--moe-router-dtype': 'fp32',
    '--moe-token-dispatcher-type': layout.ep > 1 ? 'flex' : 'alltoall',
    '--moe-enable-deepep': layout.ep > 1,
  };
  if (isGqa(model)) return { title, flags: flagsOf(shared), warnings: [] };
  const isSigmoid = model.scoringFunc === 'sigmoid';
  const hasGroups = model.nGroup > 1;
  return {
    title,
    flags: flagsOf({
      ...shared,
      '--moe-router-score-function': model.scoringFunc,
      '--moe-router-pre-softmax': !isSigmoid && !model.normTopkProb,
      '--moe-router-num-groups': hasGroups ? model.nGroup : null,
      '--moe-router-group-topk': hasGroups ? model.topkGroup : null,
      '--moe-router-topk-scaling-factor':
        model.routedScalingFactor === 1 ? null : model.routedScalingFactor,
      '--moe-router-enable-expert-bias': model.topkMethod === 'noaux_tc',
      '--moe-router-load-balancing-type': 'seq_aux_loss',
    }),
    warnings:
      hasGroups && model.topkMethod === 'group_limited_greedy'
        ? ['Megatron ranks groups of experts by their two best; this model does by the best one.']
        : [],
  };
}

function parallelGroup({ layout }: TrainingPlan): Group {
  const { tp, ep, pp, zeroStage } = layout;
  const wantsFsdp = zeroStage >= 2;
  const hasFsdp = wantsFsdp && pp === 1;
  return {
    title: 'parallelism',
    flags: flagsOf({
      '--tensor-model-parallel-size': tp,
      '--sequence-parallel': tp > 1,
      '--context-parallel-size': 1,
      '--expert-model-parallel-size': ep,
      '--expert-tensor-parallel-size': 1,
      '--use-distributed-optimizer': zeroStage > 0,
      '--overlap-grad-reduce': true,
      '--overlap-param-gather': zeroStage > 0,
      '--use-megatron-fsdp': hasFsdp,
      '--data-parallel-sharding-strategy': hasFsdp
        ? zeroStage === 2
          ? 'optim_grads'
          : 'optim_grads_params'
        : null,
      '--ckpt-format': hasFsdp ? 'fsdp_dtensor' : null,
    }),
    warnings:
      wantsFsdp && !hasFsdp
        ? [
            'Megatron splits no more than the optimizer under a pipeline: ' +
              `zero${zeroStage} became zero1.`,
          ]
        : [],
  };
}

function pipelineGroup(
  report: PlanReport,
  model: PlannedModel,
): Group & { readonly hasOverlap: boolean } {
  const { schedule, layout, mtp, recompute } = report.plan;
  const numMtp = mtp && !isGqa(model) ? model.numNextnPredictLayers : 0;
  const stages = stagesOf(report, model.numHiddenLayers);
  const isDual = schedule === 'dualpipe' || schedule === 'dualpipev';
  const rows = schedule === 'dualpipe' ? halve(stages) : stages;
  const hasOverlap = isDual && layout.ep > 1 && recompute !== 'full';
  const warnings: string[] = [];
  if (isDual) {
    warnings.push(
      `Megatron has no ${schedule === 'dualpipe' ? 'DualPipe' : 'DualPipeV'}. This is ` +
        'interleaved 1F1B with two chunks a rank, chunk i on rank i mod pp' +
        (hasOverlap ? ', one micro-batch’s all-to-all over another’s computing' : '') +
        ': its bubble is larger than the one planned' +
        (schedule === 'dualpipe' ? ', and each weight is held once and not twice.' : '.'),
    );
  }
  if (isDual && layout.ep > 1 && !hasOverlap) {
    warnings.push('Megatron cannot hide the all-to-all where whole layers are recomputed.');
  }
  if (schedule === 'zb1p') {
    warnings.push('Megatron has no ZB1P: this is 1F1B, and no weight gradient fills its bubble.');
  }
  if (schedule === 'gpipe') {
    warnings.push('Megatron has no GPipe: this is 1F1B, as quick, with fewer activations at once.');
  }
  return {
    title: 'pipeline',
    hasOverlap,
    warnings,
    flags: flagsOf({
      '--pipeline-model-parallel-size': layout.pp,
      '--pipeline-model-parallel-layout': layout.pp > 1 ? megatronLayout(rows, numMtp) : null,
      '--mtp-num-layers': numMtp === 0 ? null : numMtp,
      '--overlap-moe-expert-parallel-comm': hasOverlap,
      '--delay-wgrad-compute': hasOverlap,
    }),
  };
}

function precisionGroup(model: PlannedModel, { precision }: TrainingPlan): Group {
  const isFp8 = precision === 'fp8';
  return {
    title: 'precision',
    flags: flagsOf({
      '--bf16': true,
      '--transformer-impl': 'transformer_engine',
      '--fp8-format': isFp8 ? 'e4m3' : null,
      '--fp8-recipe': isFp8 ? 'blockwise' : null,
      '--moe-router-padding-for-fp8': isFp8 && model.nRoutedExperts > 0,
    }),
    warnings: [],
  };
}

function recomputeGroup(model: PlannedModel, { recompute }: TrainingPlan): Group {
  const title = 'recompute';
  const none: Group = { title, flags: [], warnings: [] };
  const norms = isGqa(model) ? ['layernorm'] : ['layernorm', 'mla_up_proj'];
  const hasExperts = model.nRoutedExperts > 0;
  const selective = (modules: readonly string[]): readonly Flag[] =>
    flagsOf({ '--recompute-granularity': 'selective', '--recompute-modules': modules });
  const warnings = hasExperts
    ? ['Megatron recomputes SwiGLU in experts only (moe_act), not in dense layers.']
    : ['Megatron cannot recompute SwiGLU of dense layers by itself: it is kept.'];
  switch (recompute) {
    case 'none':
      return none;
    case 'norm':
      return { ...none, flags: selective(norms) };
    case 'swiglu':
      return { ...none, flags: hasExperts ? selective(['moe_act']) : [], warnings };
    case 'v3':
      return { ...none, flags: selective(hasExperts ? [...norms, 'moe_act'] : norms), warnings };
    case 'full':
      return {
        ...none,
        flags: flagsOf({
          '--recompute-granularity': 'full',
          '--recompute-method': 'uniform',
          '--recompute-num-layers': 1,
        }),
      };
    case 'auto':
      return {
        ...none,
        warnings: ['Recompute is "auto" here: name the policy that was found before exporting.'],
      };
    default:
      return recompute satisfies never;
  }
}

function batchGroup({ plan, totalTokens }: PlanReport): Group {
  const samples = totalTokens === null ? null : Math.floor(totalTokens / plan.sequenceLength);
  return {
    title: totalTokens === null ? 'batch' : `batch: ${formatCount(totalTokens)} tokens`,
    flags: flagsOf({
      '--micro-batch-size': plan.microBatchSize,
      '--global-batch-size': plan.globalBatch,
      '--seq-length': plan.sequenceLength,
      '--train-samples': samples,
    }),
    warnings: [],
  };
}
