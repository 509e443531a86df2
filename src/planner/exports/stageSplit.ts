/**
 * Which layers each stage of a pipeline has, as engines want it told: one row per stage, along the
 * model. A bidirectional pipeline holds every stage twice; here it is named once.
 */
import { assert, at } from '../../base/assert.ts';
import type { PlanReport } from '../planReport.ts';

/** Layers `first` … `last − 1`; none where both are the same. */
export interface StageLayers {
  readonly first: number;
  readonly last: number;
}

/** The model's stages in order. An end of the model may have one that holds no layers. */
export function stagesOf({ ranks }: PlanReport, numLayers: number): readonly StageLayers[] {
  const found = new Map<string, StageLayers>();
  for (const { first, last } of ranks.flatMap(({ stages }) => stages)) {
    found.set(`${first} ${last}`, { first, last });
  }
  const stages = [...found.values()].toSorted((a, b) => a.first - b.first || a.last - b.last);
  for (const [index, { first }] of stages.entries()) {
    const expected = index === 0 ? 0 : at(stages, index - 1).last;
    assert(first === expected, `stage ${index} begins at layer ${first}, not at ${expected}`);
  }
  const covered = stages.length === 0 ? 0 : at(stages, stages.length - 1).last;
  assert(covered === numLayers, `stages cover ${covered} of ${numLayers} layers`);
  return stages;
}

/** Each stage cut in two, the larger half first: what holds two chunks a rank can run it. */
export function halve(stages: readonly StageLayers[]): readonly StageLayers[] {
  return stages.flatMap(({ first, last }) => {
    const middle = first + Math.ceil((last - first) / 2);
    return [
      { first, last: middle },
      { first: middle, last },
    ];
  });
}
