/** Plans for tests: V3 as it was trained, and layouts of any model in equal stages. */

import type { TrainingPlan } from '../../src/config/parallelPlan.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import type { MemoryInput } from '../../src/simulator/memory/estimateMemory.ts';
import type { StageLayers } from '../../src/simulator/memory/parameterGroups.ts';
import { v3Plan } from './v3Plan.ts';

/** Layers spread as evenly as they go, the fewer at the ends. */
export function evenStages(numLayers: number, numStages: number): StageLayers[] {
  const sizes = Array.from({ length: numStages }, () => Math.ceil(numLayers / numStages));
  let spare = sizes.reduce((sum, size) => sum + size, 0) - numLayers;
  for (let at = 0; spare > 0; at = (at + 1) % numStages) {
    const place = at % 2 === 0 ? at / 2 : numStages - (at + 1) / 2;
    sizes[place] = (sizes[place] ?? 0) - 1;
    spare--;
  }
  let first = 0;
  return sizes.map((size, stage) => {
    const last = first + size;
    const layers = { first, last, hasEmbedding: stage === 0, hasHead: stage === numStages - 1 };
    first = last;
    return layers;
  });
}

/** Stages of each rank under a schedule, in order of the model. */
export function stagesOfPlan(plan: TrainingPlan, numLayers: number): StageLayers[][] {
  const { pp } = plan.layout;
  const ranks = Array.from({ length: pp }, (_, rank) => rank);
  if (plan.schedule === 'dualpipe') {
    const stages = evenStages(numLayers, pp);
    return ranks.map((rank) =>
      pick(stages, [Math.min(rank, pp - 1 - rank), Math.max(rank, pp - 1 - rank)]),
    );
  }
  if (plan.schedule === 'dualpipev') {
    const stages = evenStages(numLayers, 2 * pp);
    return ranks.map((rank) => pick(stages, [rank, 2 * pp - 1 - rank]));
  }
  const chunks = plan.schedule === 'interleaved-1f1b' ? plan.chunksPerRank : 1;
  const stages = evenStages(numLayers, pp * chunks);
  return ranks.map((rank) =>
    pick(
      stages,
      Array.from({ length: chunks }, (_, chunk) => chunk * pp + rank),
    ),
  );
}

function pick(stages: readonly StageLayers[], indices: readonly number[]): StageLayers[] {
  return indices.flatMap((index) => stages[index] ?? []);
}

/** DeepSeek-V3 on 2,048 H800 (report, 3.1), with changes. */
export function v3OnH800(changes: Partial<TrainingPlan> = {}): MemoryInput {
  const plan = { ...v3Plan, ...changes };
  return { model: deepseekV3, plan, stages: stagesOfPlan(plan, deepseekV3.numHiddenLayers) };
}
