/** Group 3: the hardware paper (ISCA 2025): caches, FLOPs, limits of decoding, step times. */
import { moduleFlops, publishedFlops, trainingFactor } from '../../config/flops.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import { flopsPerToken, kvBytesPerToken } from '../../config/modelCounts.ts';
import { deepseekV2 } from '../../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { deepseek_67b, llama31_405b, qwen25_72b } from '../../config/presets/dense.ts';
import { stepSecondsAt, utilization } from '../../config/runCost.ts';
import { decodeLimit, paperDecodeSetting } from '../../simulator/network/decodeLimit.ts';
import { chips, iscaPaper, v3Report } from './facts.ts';
import { type Figure, numbers, type Quantity } from './figure.ts';
import { passCounts, walkedBubble } from './pipelineWalk.ts';

const group = 3;
const shape = { sequenceLength: v3Report.sequenceLength, causal: true };
const kilobytes = (model: PlannedModel): number => kvBytesPerToken(model) / 1000;

function gigaflops(model: PlannedModel): number {
  const options = { context: shape.sequenceLength, causal: true, mtp: false, training: true };
  return flopsPerToken(model, options) / 1e9;
}

/** With the half that causal attention leaves out left out twice. */
function quarterAttention(model: PlannedModel): number {
  const modules = moduleFlops(model, shape);
  const all = publishedFlops(modules, { mtp: false });
  return (trainingFactor * (all - (modules.scores + modules.values) / 2)) / 1e9;
}

/** Six per parameter of all layers' matrices: neither attention nor head. */
function withoutHeadAndAttention(model: PlannedModel): number {
  const { scores, values, head, ...layers } = moduleFlops(model, shape);
  const flops = publishedFlops({ ...layers, scores: 0, values: 0, head: 0 }, { mtp: false });
  return (trainingFactor * flops) / 1e9;
}

const sizes: readonly Figure[] = [
  {
    id: 'i.kv',
    group,
    source: 'ISCA T1',
    claim: 'KV cache per token in BF16',
    formula: '61 · (512 + 64) · 2 B; 80 and 126 layers · 2 · 8 · 128 · 2 B',
    basis: numbers(
      { name: 'V3', said: '70.272', unit: 'KB', ours: kilobytes(deepseekV3) },
      { name: 'Qwen2.5-72B', said: '327.680', unit: 'KB', ours: kilobytes(qwen25_72b) },
      { name: 'Llama-3.1-405B', said: '516.096', unit: 'KB', ours: kilobytes(llama31_405b) },
    ),
  },
  {
    id: 'i.kv-ratio-qwen',
    group,
    source: 'ISCA T1',
    claim: 'cache of Qwen2.5-72B over V3’s',
    formula: '327.680 / 70.272',
    basis: numbers({
      said: '4.66',
      unit: '×',
      ours: kilobytes(qwen25_72b) / kilobytes(deepseekV3),
    }),
  },
  {
    id: 'i.kv-ratio-llama',
    group,
    source: 'ISCA T1',
    claim: 'cache of Llama-3.1-405B over V3’s',
    formula: '516.096 / 70.272',
    basis: numbers({
      said: '7.28',
      unit: '×',
      ours: kilobytes(llama31_405b) / kilobytes(deepseekV3),
    }),
    note: 'the table’s own numbers give 7.344',
  },
  {
    id: 'i.flop',
    group,
    source: 'ISCA T2',
    claim: 'training FLOPs per token of V2 and V3',
    formula: '3 · modules at 4,096, causal',
    basis: numbers(
      { name: 'V2', said: '155', unit: 'G', ours: gigaflops(deepseekV2) },
      { name: 'V3', said: '250', unit: 'G', ours: gigaflops(deepseekV3) },
    ),
  },
  {
    id: 'i.flop-qwen',
    group,
    source: 'ISCA T2',
    claim: 'training FLOPs per token of Qwen-72B',
    formula: '3 · modules at 4,096, causal',
    basis: numbers({
      said: '394',
      unit: 'G',
      ours: gigaflops(qwen25_72b),
      slip: {
        name: 'DeepSeek-67B’s layers, without attention and head',
        value: withoutHeadAndAttention(deepseek_67b),
      },
    }),
  },
  {
    id: 'i.flop-llama',
    group,
    source: 'ISCA T2',
    claim: 'training FLOPs per token of Llama-3.1-405B',
    formula: '3 · modules at 4,096, causal',
    basis: numbers({
      said: '2448',
      unit: 'G',
      ours: gigaflops(llama31_405b),
      slip: { name: 'causal attention halved twice', value: quarterAttention(llama31_405b) },
    }),
  },
];

function limitFigure(
  options: Pick<Figure, 'id' | 'claim'> & {
    readonly bytesPerSecond: number;
    readonly said: readonly [string, string];
    readonly speed: Omit<Quantity, 'ours' | 'unit'>;
  },
): Figure {
  const { id, claim, bytesPerSecond, said, speed } = options;
  const limit = decodeLimit({ ...paperDecodeSetting, bytesPerSecond });
  return {
    id,
    group,
    source: 'ISCA s2.3.2',
    claim,
    formula: '(1 + 2) B · 32 tokens · 9 · 7,000 / bandwidth; · 2 · 61',
    basis: numbers(
      { name: 'exchange', said: said[0], unit: 'µs', ours: limit.exchangeSeconds * 1e6 },
      { name: 'token', said: said[1], unit: 'ms', ours: limit.secondsPerToken * 1e3 },
      { ...speed, unit: 'tok/s', ours: limit.tokensPerSecond },
    ),
  };
}

const limits: readonly Figure[] = [
  limitFigure({
    id: 'i.limit-ib',
    claim: 'limit of decoding by expert exchange, 400G InfiniBand',
    bytesPerSecond: iscaPaper.networkBytesPerSecond,
    said: ['120.96', '14.76'],
    speed: { said: '67', reading: { kind: 'cut' } },
  }),
  limitFigure({
    id: 'i.limit-nvl72',
    claim: 'limit of decoding by expert exchange, GB200 NVL72',
    bytesPerSecond: iscaPaper.nvl72BytesPerSecond,
    said: ['6.72', '0.82'],
    speed: { said: '1200', reading: { kind: 'within', share: 0.02, because: '“about”' } },
  }),
];

const tokensPerStep = v3Report.globalBatch * v3Report.sequenceLength;

function stepFigures(
  options: Record<'name' | 'seconds' | 'nonCausal' | 'causal', string> & {
    readonly tokensPerDay: number;
  },
): Figure[] {
  const { name, seconds, nonCausal, causal, tokensPerDay } = options;
  const stepSeconds = stepSecondsAt({ tokensPerStep, tokensPerDay });
  const used = utilization({
    model: deepseekV3,
    sequenceLength: v3Report.sequenceLength,
    mtp: false,
    tokensPerStep,
    stepSeconds,
    numGpus: v3Report.numGpus,
    peakFlops: iscaPaper.peakFlops,
  });
  const source = 'ISCA T4';
  const days = (tokensPerDay / 1e9).toFixed(2);
  return [
    {
      id: `i.step-${name.toLowerCase()}`,
      group,
      source,
      claim: `seconds per step, ${name}`,
      formula: `15,360 · 4,096 · 86,400 / ${days}B`,
      basis: numbers({ said: seconds, unit: 's', ours: stepSeconds }),
    },
    {
      id: `i.tflops-${name.toLowerCase()}`,
      group,
      source,
      claim: `TFLOPS per GPU, non-causal and causal, ${name}`,
      formula: `FLOPs per token · ${days}B / 86,400 / 2,048`,
      basis: numbers(
        { name: 'non-causal', said: '432', unit: 'TF', ours: used.tflopsNonCausal },
        { name: 'causal', said: '385', unit: 'TF', ours: used.tflopsCausal },
      ),
    },
    {
      id: `i.mfu-${name.toLowerCase()}`,
      group,
      source,
      claim: `MFU, non-causal and causal, ${name}`,
      formula: 'TFLOPS / 989',
      basis: numbers(
        { name: 'non-causal', said: nonCausal, unit: '%', ours: 100 * used.mfuNonCausal },
        { name: 'causal', said: causal, unit: '%', ours: 100 * used.mfuCausal },
      ),
    },
  ];
}

const { stepRows } = iscaPaper;
const dualpipe = { name: 'dualpipe', numRanks: 16, numMicroBatches: 120 } as const;
const outer = passCounts(dualpipe, { rank: 0 });
const middle = passCounts(dualpipe, { rank: 7 });

/** Passes of rank 0 by the table: of its backwards the split ones leave W for later. */
const W = stepRows['1W'] / outer.weight;
const backwardInput = (stepRows['1B'] - (outer.backward - outer.split) * W) / outer.backward;
const chunk = {
  F: stepRows['1F'] / outer.forward,
  B: backwardInput + W,
  W,
  FB: stepRows['1F1B'] / outer.pairs,
};

const steps: readonly Figure[] = [
  ...stepFigures({
    name: 'MPFT',
    tokensPerDay: iscaPaper.tokensPerDay.mpft,
    seconds: '19.926',
    nonCausal: '43.73',
    causal: '38.94',
  }),
  ...stepFigures({
    name: 'MRFT',
    tokensPerDay: iscaPaper.tokensPerDay.mrft,
    seconds: '19.946',
    nonCausal: '43.68',
    causal: '38.90',
  }),
  {
    id: 'i.step-sum',
    group,
    source: 'ISCA T4',
    claim: 'seconds per step, MPFT, as the sum of its rows',
    formula: '1F + bubble + 1B + 1W + 1F1B + optimizer',
    basis: numbers({
      said: '19.926',
      unit: 's',
      ours: Object.values(stepRows).reduce((sum, row) => sum + row, 0),
    }),
    note: '0.03 s are in no row',
  },
  {
    id: 'i.step-bubble',
    group,
    source: 'ISCA T4',
    claim: 'bubble of a step, from its other rows: by DualPipe’s formula, and walked',
    formula: '(P/2−1)(F&B + B − 3W); a pass’s seconds are a row over rank 0’s passes',
    basis: numbers(
      {
        name: 'formula',
        said: '2.06',
        unit: 's',
        ours: (dualpipe.numRanks / 2 - 1) * (chunk.FB + chunk.B - 3 * chunk.W),
      },
      { name: 'walked', said: '2.06', unit: 's', ours: walkedBubble(dualpipe, chunk) },
    ),
    note: 'what was measured holds waiting that neither knows',
  },
  {
    id: 'i.step-pair',
    group,
    source: 'ISCA T4',
    claim: 'one overlapped pair, by the passes of rank 0 and of rank 7',
    formula: '13.95 s / 97; / 103',
    basis: numbers(
      { name: 'rank 0', said: '143.8', unit: 'ms', ours: 1e3 * chunk.FB },
      {
        name: 'rank 7',
        said: '134.1',
        unit: 'ms',
        ours: (1e3 * stepRows['1F1B']) / middle.pairs,
        slip: {
          name: 'the middle’s first pair, whose halves run one by one, counted as overlapped',
          value: (1e3 * stepRows['1F1B']) / (middle.pairs + 1),
        },
      },
    ),
  },
];

const hardware: readonly Figure[] = [
  {
    id: 'i.nvlink',
    group,
    source: 'ISCA s4.1',
    claim: 'NVLink of the H800, one way; H100’s, both ways',
    formula: '400 / 2; data sheet',
    basis: numbers(
      { name: 'H800', said: '200', unit: 'GB/s', ours: chips.nvlinkBothWays.h800 / 2e9 },
      { name: 'H100', said: '900', unit: 'GB/s', ours: chips.nvlinkBothWays.h100 / 1e9 },
    ),
  },
  {
    id: 'i.link-ratio',
    group,
    source: 'ISCA s4.3',
    claim: 'scale-up over scale-out bandwidth, as reached',
    formula: '160 / 40 (the report has 160 / 50 = 3.2)',
    basis: numbers({
      said: '4',
      unit: '×',
      ours: iscaPaper.h800NvlinkAchieved / iscaPaper.nicAchieved,
    }),
  },
  {
    id: 'i.node-limit',
    group,
    source: 'ISCA s4.3',
    claim: 'experts of a group; cost over the network, limited over unlimited',
    formula: '256 / 8; M t / 8 t with M = 4',
    basis: numbers(
      { name: 'group', said: '32', unit: '', ours: deepseekV3.nRoutedExperts / deepseekV3.nGroup },
      {
        name: 'cost',
        said: '0.5',
        unit: '×',
        ours: deepseekV3.topkGroup / deepseekV3.numExpertsPerTok,
      },
    ),
  },
  {
    id: 'i.dispatch',
    group,
    source: 'ISCA s3.2',
    claim: 'bytes saved by FP8 dispatch against BF16',
    formula: '1 − 1 / 2',
    basis: numbers({ said: '50', unit: '%', ours: 100 * (1 - 1 / 2) }),
    note: '48.4 % with a 4-byte scale for every 128 numbers',
  },
  {
    id: 'i.fp22',
    group,
    source: 'ISCA s3.1.1',
    claim: 'bits of the accumulator: sign, exponent, fraction',
    formula: '1 + 8 + 13',
    basis: numbers({ said: '22', unit: 'bits', ours: 1 + 8 + 13 }),
    note: '“about 14 bits” in the report counts the leading one',
  },
  {
    id: 'i.mtp',
    group,
    source: 'ISCA s2.3.3',
    claim: 'speed of decoding with MTP',
    formula: '1 + 0.8',
    basis: numbers({ said: '1.8', unit: '×', ours: 1 + iscaPaper.mtpAcceptance[0] }),
  },
];

export const paper: readonly Figure[] = [...sizes, ...limits, ...steps, ...hardware];
