/** Group 2, continued: how V3 was trained and is served, by its report. */
import { parseLayout, type ScheduleName } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { daysOn, dollarsOf, gpuHoursOf } from '../../config/runCost.ts';
import { iscaPaper, v3Report } from './facts.ts';
import { type Figure, numbers, type Quantity } from './figure.ts';
import {
  activationsHeld,
  dualpipePhases,
  type PassCounts,
  passCounts,
  walkedBubble,
} from './pipelineWalk.ts';

const group = 2;
const layout = parseLayout(v3Report.layout, v3Report.numGpus);
const numMicroBatches = v3Report.globalBatch / layout.dp;
const tokensPerStep = v3Report.globalBatch * v3Report.sequenceLength;
const hours = {
  'pre-training': v3Report.preTrainingGpuHours,
  context: v3Report.contextExtensionGpuHours,
  'post-training': v3Report.postTrainingGpuHours,
};
const allHours = Object.values(hours).reduce((sum, each) => sum + each, 0);
const rateTokens =
  v3Report.constantRateTokens +
  v3Report.cosineTokens +
  v3Report.tailTokens.reduce((sum, each) => sum + each, 0);
const daysPerTrillion = 1e12 / iscaPaper.tokensPerDay.mpft;

const run: readonly Figure[] = [
  {
    id: 'v3.lr',
    group,
    source: 'V3 s4.2',
    claim: 'tokens of the learning rate’s pieces, of γ’s, of λ’s',
    formula: '10 + 4.3 + 0.333 + 0.167; 14.3 + 0.5; 10 + 4.8',
    basis: numbers(
      { name: 'rate', said: '14.8', unit: 'T', ours: rateTokens / 1e12 },
      { name: 'γ', said: '14.8', unit: 'T', ours: (14.3e12 + 500e9) / 1e12 },
      { name: 'λ', said: '14.8', unit: 'T', ours: (10e12 + 4.8e12) / 1e12 },
    ),
  },
  {
    id: 'v3.tokens-per-step',
    group,
    source: 'V3 s4.2',
    claim: 'tokens of a full step, and steps after the ramp',
    formula: '15,360 · 4,096; (14.8T − 469B) / that',
    basis: numbers(
      { name: 'tokens', said: '62,914,560', unit: '', ours: tokensPerStep },
      {
        name: 'steps',
        said: '227,785',
        unit: '',
        ours: (v3Report.tokens - v3Report.batchRampTokens) / tokensPerStep,
      },
    ),
  },
  {
    id: 'v3.context-stages',
    group,
    source: 'V3 s4.3',
    claim: 'tokens of the two context stages',
    formula: '32,768 · 1,920 · 1,000; 131,072 · 480 · 1,000',
    basis: numbers(
      ...v3Report.contextStages.map(
        ([length, sequences, steps]): Quantity => ({
          name: `${length / 1024}K`,
          said: '62.915',
          unit: 'B',
          ours: (length * sequences * steps) / 1e9,
        }),
      ),
    ),
  },
  {
    id: 'v3.gpu-hours',
    group,
    source: 'V3 T1',
    claim: 'GPU-hours in all',
    formula: '2664K + 119K + 5K',
    basis: numbers({ said: '2788', unit: 'K', ours: allHours / 1000 }),
  },
  {
    id: 'v3.dollars',
    group,
    source: 'V3 T1',
    claim: 'dollars, part by part and in all',
    formula: 'GPU-hours · $2',
    basis: numbers(
      ...Object.entries({ ...hours, all: allHours }).map(
        ([name, of], i): Quantity => ({
          name,
          said: ['5.328', '0.238', '0.01', '5.576'][i] ?? '',
          unit: 'M$',
          ours: dollarsOf(of, v3Report) / 1e6,
        }),
      ),
    ),
  },
  {
    id: 'v3.per-trillion',
    group,
    source: 'V3 s1',
    claim: 'GPU-hours and days per 1T tokens',
    formula: '1T / 272.80B per day (ISCA T4) · 24 · 2048; 2664K / 14.8',
    basis: numbers(
      {
        name: 'GPU-hours',
        said: '180',
        unit: 'K',
        ours: gpuHoursOf({ days: daysPerTrillion, numGpus: v3Report.numGpus }) / 1000,
      },
      { name: 'days', said: '3.7', unit: 'days', ours: daysPerTrillion },
      {
        name: 'by table 1',
        said: '180',
        unit: 'K',
        ours: v3Report.preTrainingGpuHours / (v3Report.tokens / 1e12) / 1000,
      },
    ),
  },
  {
    id: 'v3.pre-training-days',
    group,
    source: 'V3 T1',
    claim: 'pre-training in “less than two months”',
    formula: '2664K / 2048 / 24',
    basis: numbers({
      said: '61',
      unit: 'days',
      ours: daysOn({ gpuHours: hours['pre-training'], numGpus: v3Report.numGpus }),
      reading: { kind: 'atMost' },
    }),
  },
];

const dualpipe = { name: 'dualpipe', numRanks: layout.pp, numMicroBatches } as const;

/** With a chunk’s B of 2 F and W of F, as where the formulas were found to hold. */
function bubbleOf(name: ScheduleName): number {
  const choice = { name, numRanks: 8, numMicroBatches: 20 };
  return walkedBubble(choice, { F: 1, B: 2, W: 1, FB: 3 });
}

type Counted = 'forward' | 'pairs' | 'backward' | 'weight';

interface RankClaim {
  readonly rank: number;
  readonly phases: readonly string[];
  readonly passes: Readonly<Record<Counted, string>>;
  /** What the eight phases alone give, where the action list differs. */
  readonly byPhases?: Pick<PassCounts, Counted>;
}

function rankFigures({ rank, phases, passes, byPhases }: RankClaim): Figure[] {
  const counted = passCounts(dualpipe, { rank });
  const names = ['forward', 'pairs', 'backward', 'weight'] as const;
  const name = 'the middle’s first pair, whose halves run one by one, counted as overlapped';
  return [
    {
      id: `v3.dualpipe-phases-${rank}`,
      group,
      source: 'DUALPIPE',
      claim: `DualPipe, PP 16, 120 micro-batches: phases of rank ${rank}`,
      formula: '2(H−h−1), h+1, H−h−1, C/2−P+h+1, H−h−1, h+1, H−h−1, h+1',
      basis: numbers(
        ...dualpipePhases(dualpipe, { rank }).map(
          (ours, i): Quantity => ({ said: phases[i] ?? '', unit: '', ours }),
        ),
      ),
    },
    {
      id: `v3.dualpipe-passes-${rank}`,
      group,
      source: 'DUALPIPE',
      claim: `passes of rank ${rank}, alone and in pairs`,
      formula: 'counted in the action list',
      basis: numbers(
        ...names.map(
          (each): Quantity => ({
            name: each,
            said: passes[each],
            unit: '',
            ours: counted[each],
            ...(byPhases === undefined ? {} : { slip: { name, value: byPhases[each] } }),
          }),
        ),
      ),
    },
  ];
}

const pipeline: readonly Figure[] = [
  {
    id: 'v3.layout',
    group,
    source: 'V3 s3.2',
    claim: 'DP, micro-batches of a pipeline, routed experts per GPU, stages’ GPUs',
    formula: '2048 / 16; 15,360 / 128; 256 / 64',
    basis: numbers(
      { name: 'DP', said: '128', unit: '', ours: layout.dp },
      { name: 'micro-batches', said: '120', unit: '', ours: numMicroBatches },
      { name: 'experts', said: '4', unit: '', ours: deepseekV3.nRoutedExperts / layout.ep },
      { name: 'EP nodes', said: '8', unit: '', ours: layout.ep / v3Report.gpusPerNode },
    ),
  },
  {
    id: 'v3.bubbles',
    group,
    source: 'V3 T2',
    claim: 'bubbles of 1F1B, ZB1P, DualPipe at PP 8, in F (B = 2 F, W = F, F&B = 3 F)',
    formula: '(P−1)(F+B); (P−1)(F+B−2W); (P/2−1)(F&B+B−3W); ours walks the schedules',
    basis: numbers(
      { name: '1F1B', said: '21', unit: 'F', ours: bubbleOf('1f1b') },
      { name: 'ZB1P', said: '7', unit: 'F', ours: bubbleOf('zb1p') },
      { name: 'DualPipe', said: '6', unit: 'F', ours: bubbleOf('dualpipe') },
    ),
  },
  {
    id: 'v3.activations',
    group,
    source: 'V3 T2',
    claim: 'passes whose activations are held: 1F1B, DualPipe at PP 16 (PP and PP + 1)',
    formula: 'most over ranks, counted in the action lists',
    basis: numbers(
      {
        name: '1F1B',
        said: '16',
        unit: '',
        ours: activationsHeld({ ...dualpipe, name: '1f1b' }),
      },
      { name: 'DualPipe', said: '17', unit: '', ours: activationsHeld(dualpipe) },
    ),
  },
  ...rankFigures({
    rank: 0,
    phases: ['14', '1', '7', '45', '7', '1', '7', '1'],
    passes: { forward: '23', pairs: '97', backward: '23', weight: '15' },
  }),
  ...rankFigures({
    rank: 7,
    phases: ['0', '8', '0', '52', '0', '8', '0', '8'],
    passes: { forward: '16', pairs: '104', backward: '16', weight: '8' },
    byPhases: { forward: 2 * 8, pairs: 2 * 52, backward: 2 * 8, weight: 8 },
  }),
];

const linkRatio = v3Report.nvlinkBytesPerSecond / v3Report.networkBytesPerSecond;

const machines: readonly Figure[] = [
  {
    id: 'v3.links',
    group,
    source: 'V3 s3.2.2',
    claim: 'experts per node that NVLink hides (its ratio to InfiniBand), and in 4 nodes',
    formula: '160 / 50; 4 nodes · 3.2',
    basis: numbers(
      { name: 'per node', said: '3.2', unit: '', ours: linkRatio },
      { name: 'in all', said: '13', unit: '', ours: deepseekV3.topkGroup * linkRatio },
    ),
  },
  {
    id: 'v3.channels',
    group,
    source: 'V3 s3.2.2',
    claim: 'channels of the 20 communication SMs',
    formula: '20 / 2',
    basis: numbers({
      said: '10',
      unit: '',
      ours: v3Report.communicationSms / v3Report.smsPerChannel,
    }),
  },
  {
    id: 'v3.promotion',
    group,
    source: 'V3 s3.3.2',
    claim: 'WGMMAs in an interval of 128 terms',
    formula: '128 / 32 terms of one FP8 WGMMA',
    basis: numbers({ said: '4', unit: '', ours: 128 / 32 }),
  },
  {
    id: 'v3.prefill',
    group,
    source: 'V3 s3.4.1',
    claim: 'GPUs of a prefill unit; experts of a GPU with 32 redundant ones',
    formula: 'TP4 · DP8; (256 + 32) / 32',
    basis: numbers(
      { name: 'GPUs', said: '32', unit: '', ours: 4 * 8 },
      {
        name: 'experts',
        said: '9',
        unit: '',
        ours: (deepseekV3.nRoutedExperts + v3Report.redundantExpertsPrefill) / v3Report.prefillGpus,
      },
    ),
  },
  {
    id: 'v3.decode',
    group,
    source: 'V3 s3.4.2',
    claim: 'GPUs of a decode unit, by attention and by experts; nodes',
    formula: 'TP4 · DP80; 256 + 64; / 8',
    basis: numbers(
      { name: 'attention', said: '320', unit: '', ours: 4 * 80 },
      {
        name: 'experts',
        said: '320',
        unit: '',
        ours: deepseekV3.nRoutedExperts + v3Report.redundantAndSharedGpusDecode,
      },
      { name: 'nodes', said: '40', unit: '', ours: v3Report.decodeGpus / v3Report.gpusPerNode },
    ),
  },
  {
    id: 'v3.mtp-speed',
    group,
    source: 'V3 s5.4.3',
    claim: 'speed of decoding with MTP, at most 1 + p',
    formula: '1 + 0.85',
    basis: numbers({
      said: '1.8',
      unit: '×',
      ours: 1 + v3Report.mtpAcceptance[0],
      reading: { kind: 'atLeast' },
    }),
  },
];

export const reportRun: readonly Figure[] = [...run, ...pipeline, ...machines];
