/** Group 1, third article: a blog post on training V3 (SEED2). */
import { activeParameters, countParameters } from '../../config/modelCounts.ts';
import { parseLayout } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { daysOn } from '../../config/runCost.ts';
import { chips, v3Report } from './facts.ts';
import { type Figure, numbers } from './figure.ts';
import { closestMfu } from './newsPiece.ts';

const group = 1;
const source = 'SEED2';

const layout = parseLayout(v3Report.layout, v3Report.numGpus);
const activeShare = activeParameters(deepseekV3).withHead / countParameters(deepseekV3).total;

export const blogPost: readonly Figure[] = [
  {
    id: 'seed2.active-experts',
    group,
    source,
    claim: 'experts active of all',
    formula: '8 / 256; 9 / 257 with the shared one',
    basis: numbers({
      said: '5',
      unit: '%',
      ours: (100 * deepseekV3.numExpertsPerTok) / deepseekV3.nRoutedExperts,
      slip: { name: 'active parameters taken for experts', value: 100 * activeShare },
    }),
  },
  {
    id: 'seed2.memory-bandwidth',
    group,
    source,
    claim: 'HBM3',
    formula: 'data sheet, SXM',
    basis: numbers({ said: '3.35', unit: 'TB/s', ours: chips.h800MemoryBytesPerSecond / 1e12 }),
  },
  {
    id: 'seed2.nvlink',
    group,
    source,
    claim: 'NVLink of the training GPUs',
    formula: 'data sheet of the H800, both ways (H100: 900)',
    basis: numbers({
      said: '600',
      unit: 'GB/s',
      ours: chips.nvlinkBothWays.h800 / 1e9,
      slip: { name: 'the A100’s', value: chips.nvlinkBothWays.a100 / 1e9 },
    }),
  },
  {
    id: 'seed2.nodes',
    group,
    source,
    claim: 'nodes, MFU, layers on A100',
    formula: 'no source; 2048 / 8 nodes, 61 layers',
    basis: {
      kind: 'nowhere',
      said: '32, 37 %; > 96, 22 %; 41 %',
      sources: 'against',
      closest: [
        { name: 'nodes', value: v3Report.numGpus / v3Report.gpusPerNode, unit: '', digits: 0 },
        ...closestMfu,
      ],
    },
  },
  {
    id: 'seed2.layout',
    group,
    source,
    claim: 'parallelism and what it gains',
    formula: 'no source; V3 s3.2: no TP in training, ZeRO-1',
    basis: {
      kind: 'nowhere',
      said: 'TP, ZeRO-3; 53 %, 92 %',
      sources: 'against',
      closest: [
        { name: 'TP', value: layout.tp, unit: '', digits: 0 },
        { name: 'ZeRO', value: layout.zeroStage, unit: '', digits: 0 },
      ],
    },
  },
  {
    id: 'seed2.tuning',
    group,
    source,
    claim: 'recomputing, FP8 cores, days, energy',
    formula: 'no source; days of pre-training: 2664K / 2048 / 24',
    note: 'nor for FP16 with GradScaler, nor for a multimodal V3',
    basis: {
      kind: 'nowhere',
      said: '18 %; 68 %; 14 → 9 days; −28 %',
      sources: 'against',
      closest: [
        {
          name: 'pre-training',
          value: daysOn({ gpuHours: v3Report.preTrainingGpuHours, numGpus: v3Report.numGpus }),
          unit: 'days',
          digits: 1,
        },
      ],
    },
  },
];
