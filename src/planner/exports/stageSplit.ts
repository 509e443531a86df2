/**
 * Which layers each stage of a pipeline has, as engines want it told: one row per stage, along the
 * model. A bidirectional pipeline holds every stage twice; here it is named once.
 */
import { assert, at } from '../../base/assert.ts';
import type { PlanReport } from '../planReport.ts';

/** Layers `first` to `last`, both of them in it; none where `last` is before `first`. */
export interface StageLayers {
  readonly first: number;
  readonly last: number;
}

/** The model's stages in order, without what lies behind its last layer (MTP). */
export function stagesOf({ ranks }: PlanReport, numLayers: number): readonly StageLayers[] {
  const byFirst = new Map<number, StageLayers>();
  for (const { stages } of ranks) {
    for (const stage of stages) {
      const { first, last } = stage;
      if (first >= numLayers) continue;
      byFirst.set(first, { first, last: Math.min(last, numLayers - 1) });
    }
  }
  const stages = [...byFirst.values()].toSorted((a, b) => a.first - b.first);
  for (const [index, { first }] of stages.entries()) {
    const expected = index === 0 ? 0 : at(stages, index - 1).last + 1;
    assert(first === expected, `stage ${index} begins at layer ${first}, not at ${expected}`);
  }
  const covered = stages.length === 0 ? 0 : at(stages, stages.length - 1).last + 1;
  assert(covered === numLayers, `stages cover ${covered} of ${numLayers} layers`);
  return stages;
}

/** Each stage cut in two, the larger half first: what holds two chunks a rank can run it. */
export function halve(stages: readonly StageLayers[]): readonly StageLayers[] {
  return stages.flatMap(({ first, last }) => {
    const middle = first + Math.ceil((last - first + 1) / 2);
    return [
      { first, last: middle - 1 },
      { first: middle, last },
    ];
  });
}
