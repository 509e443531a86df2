/**
 * Which experts the rows of a pass went to: its gates' own choices, read while it runs.
 *
 * A layer's choices lie in memory that the next layer takes again, so they are read at once.
 * Reading waits for what was asked of the kernels before: this is for looking, not for serving.
 */
import { assert } from '../base/assert.ts';
import type { StepContext } from '../model/context.ts';
import type { LayerRoutes } from '../program/instruction.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Names under which `model/router.ts` shows its tensors. */
const CHOICES = /^router\.(\d+)\.(indices|weights)$/;

/** @param run runs the rows with the context that it is given */
export async function routesOfRows(
  context: StepContext,
  run: (watched: StepContext) => void,
): Promise<readonly LayerRoutes[]> {
  const { kernels } = context;
  const experts = new Map<number, Promise<Int32Array>>();
  const weights = new Map<number, Promise<Float32Array>>();
  const capture = (name: string, tensor: Tensor): void => {
    const [, layer, what] = CHOICES.exec(name) ?? [];
    if (layer === undefined) return;
    if (what === 'indices') experts.set(Number(layer), kernels.read(tensor as Tensor<'i32'>));
    else weights.set(Number(layer), kernels.read(tensor as Tensor<'f32'>));
  };
  run({ ...context, capture });
  return Promise.all(
    [...experts].map(async ([layer, chosen]) => {
      const factors = weights.get(layer);
      assert(factors !== undefined, 'a gate shows its weights beside its choices');
      return { layer, experts: await chosen, weights: await factors };
    }),
  );
}
