/**
 * What backward makes again because forward did not keep it: the forward kernels of that name,
 * once more, in front of the part that needs them. SwiGLU's own recompute is the recipe's, since
 * what is kept in its place changes other kernels' bytes.
 */
import type { RecomputeItems } from '../../config/parallelPlan.ts';
import type { KernelWork, PartWork, SliceWork } from './stageWork.ts';

/** Equal for equal items. */
export function recomputeKey({ norm, mlaUpProjection, swiglu, block }: RecomputeItems): string {
  return [norm, mlaUpProjection, swiglu, block].map(Number).join('');
}

const UP_PROJECTIONS = ['q_b_proj', 'kv_b_proj'];

/** Norms, and the up-projections of MLA with the rotation and the keys that follow them. */
export function withRecompute(slice: SliceWork, items: RecomputeItems): SliceWork {
  if (!items.norm && !items.mlaUpProjection) return slice;
  const isMla = slice.forward.some(({ kernels }) => kernels.some((k) => k.what === 'kv_b_proj'));
  const isMadeAgain = ({ class: kernelClass, what }: KernelWork): boolean => {
    if (items.norm && kernelClass === 'norm') return true;
    if (!items.mlaUpProjection || !isMla) return false;
    if (kernelClass === 'fp8Gemm' || kernelClass === 'bf16Gemm' || kernelClass === 'cast') {
      return UP_PROJECTIONS.includes(what);
    }
    return kernelClass === 'rope' || what === 'whole keys';
  };
  const backwardInput = slice.backwardInput.map((part) => {
    if (part.part !== 'attention' && part.part !== 'dispatch') return part;
    const forward = slice.forward.find((f) => f.part === part.part && f.layer === part.layer);
    const again = (forward?.kernels ?? []).filter(isMadeAgain).map(recomputed);
    return { ...part, kernels: [...again, ...part.kernels] };
  });
  return { ...slice, backwardInput };
}

/** Everything: a whole forward pass of the layer before its backward, transfers included. */
export function recomputedBlock(slice: SliceWork): SliceWork {
  if (slice.kind === 'embedding' || slice.kind === 'head') return slice;
  const again = slice.forward.map(
    (part): PartWork => ({
      ...part,
      pass: 'backwardInput',
      kernels: part.kernels.map(recomputed),
      isRecomputed: true,
    }),
  );
  return { ...slice, backwardInput: [...again, ...slice.backwardInput] };
}

function recomputed(kernel: KernelWork): KernelWork {
  const recomputedFlops = kernel.flops + kernel.recomputedFlops;
  return { ...kernel, flops: 0, recomputedFlops };
}
