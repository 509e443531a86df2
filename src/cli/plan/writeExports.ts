/** A plan as another engine's arguments, in a folder. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import { numMicroBatches } from '../../config/parallelPlan.ts';
import { exportMegatron } from '../../planner/exports/megatron.ts';
import { exportTorchTitan, torchTitanSchedule } from '../../planner/exports/torchTitan.ts';
import type { PlanReport } from '../../planner/planReport.ts';
import { pipelineSchedule } from '../../policy/pipeline/pipelineSchedule.ts';
import { formatScheduleCsv } from '../../program/notation.ts';
import { makeFolder } from '../../runtime/makeFolder.ts';

interface WrittenExport {
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

export type ExportEngine = 'megatron' | 'torchtitan';

/** @throws plan.export for an engine that has no export */
export function requireEngine(engine: string): ExportEngine {
  if (engine === 'megatron' || engine === 'torchtitan') return engine;
  throw new MoebiusError('plan.export', `there is no export for "${engine}"`, {
    values: { engine },
    hint: 'Use megatron or torchtitan.',
  });
}

export async function writeExport(
  engine: ExportEngine,
  folder: string,
  plan: { readonly report: PlanReport; readonly model: PlannedModel },
): Promise<WrittenExport> {
  const { files, warnings } = exportOf(engine, plan);
  makeFolder(folder);
  const written: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(path, text);
    written.push(path);
  }
  return { files: written, warnings };
}

function exportOf(
  engine: ExportEngine,
  { report, model }: { readonly report: PlanReport; readonly model: PlannedModel },
): { readonly files: Readonly<Record<string, string>>; readonly warnings: readonly string[] } {
  switch (engine) {
    case 'megatron': {
      const { text, warnings } = exportMegatron(report, model);
      return { files: { 'megatron.sh': text }, warnings };
    }
    case 'torchtitan':
      return exportTorchTitan(report, model, scheduleCsv(report));
    default:
      return engine satisfies never;
  }
}

function scheduleCsv({ plan }: PlanReport): string {
  const { ours } = torchTitanSchedule(plan);
  const chunks = ours === 'interleaved-1f1b' ? { chunksPerRank: plan.chunksPerRank } : {};
  const schedule = pipelineSchedule({
    name: ours,
    numRanks: plan.layout.pp,
    numMicroBatches: numMicroBatches(plan),
    ...chunks,
  });
  return formatScheduleCsv(schedule.ranks, { pairs: 'apart' });
}
