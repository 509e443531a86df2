/**
 * The steps of an order (`policy/overlap`) and what each of them costs: which parts of the model's
 * passes a step holds.
 *
 * The norm and the gate before a dispatch belong to the attention, as in the published drawings;
 * so do the sum behind a combine and, backward, what follows the gradients' return. The cast before
 * gradients go to their experts runs beside the transfer. A full recompute of a layer stands in
 * front of its experts' (or its dense network's) backward, transfers included.
 */
import type { PartStep } from '../../program/instruction.ts';
import type {
  ExpertTransferWork,
  KernelWork,
  PartName,
  PartWork,
  PassName,
  SliceWork,
  StageWork,
  TensorTransferWork,
} from './stageWork.ts';

export interface StepWork {
  readonly kernels: readonly KernelWork[];
  readonly transfers: readonly ExpertTransferWork[];
  readonly tensorTransfers: readonly TensorTransferWork[];
}

/** A block of a stage: a layer, or an MTP module's, which the head's slice holds. */
interface Block {
  readonly slice: SliceWork;
  readonly layer: number | null;
}

type StepName = Pick<PartStep, 'pass' | 'part' | 'layer'>;

const BLOCK_PARTS: readonly PartName[] = ['attention', 'dispatch', 'experts', 'combine'];

/** Looks steps up; the answer for a step is made once. */
export class StageSteps {
  readonly #work: StageWork;
  readonly #blocks: readonly Block[];
  readonly #known = new Map<string, StepWork>();

  constructor(work: StageWork) {
    this.#work = work;
    this.#blocks = work.slices.flatMap(blocksOf);
  }

  step(name: StepName): StepWork {
    const key = `${name.pass}/${name.part}/${name.layer}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = this.#make(name);
    this.#known.set(key, made);
    return made;
  }

  #make({ pass, part, layer }: StepName): StepWork {
    if (part === 'embedding' || part === 'head') {
      const slice = this.#work.slices.find(({ kind }) => kind === part);
      const ends = (slice?.[pass] ?? []).filter((each) => !BLOCK_PARTS.includes(each.part));
      return joined(ends, []);
    }
    const block = this.#blocks[layer];
    if (block === undefined) return joined([], []);
    const all = block.slice[pass].filter((each) => each.layer === block.layer);
    const again = all.filter(({ isRecomputed }) => isRecomputed);
    const of = (...names: PartName[]): PartWork[] =>
      all.filter((each) => !each.isRecomputed && names.includes(each.part));
    switch (part) {
      case 'attention':
        return joined(attentionParts(pass, of), []);
      case 'dispatch':
      case 'combine':
        return transferOf(pass, part, of);
      case 'experts':
        return joined(of('experts'), again, hasShared(of) ? 'routed' : 'all');
      case 'sharedExperts':
        return joined(of('experts'), [], 'shared');
      case 'denseMlp':
        return joined(of('experts', ...(pass === 'forward' ? FORWARD_ENDS : [])), again);
      default:
        return part satisfies never;
    }
  }
}

const FORWARD_ENDS: readonly PartName[] = ['dispatch', 'combine'];

type PartsOf = (...names: PartName[]) => PartWork[];

/** In a dense layer nothing is sent, and its norm and sum are the network's own. */
function attentionParts(pass: PassName, of: PartsOf): PartWork[] {
  const isDense = of('experts').every(({ transfer }) => transfer === null);
  if (pass === 'forward') return isDense ? of('attention') : of('attention', 'dispatch', 'combine');
  return of('dispatch', 'attention', ...(isDense ? (['combine'] as const) : []));
}

/** A transfer carries the name of what it belongs to; the part before it starts it. */
function transferOf(pass: PassName, part: 'dispatch' | 'combine', of: PartsOf): StepWork {
  const starter =
    pass === 'forward'
      ? { dispatch: 'dispatch', combine: 'experts' }
      : { dispatch: 'experts', combine: 'combine' };
  const parts = of(starter[part] as PartName);
  const transfers = parts.flatMap(({ transfer }) => (transfer === null ? [] : [transfer]));
  // Only the cast of gradients on their way to the experts has a part of its own.
  const isCast = pass === 'backwardInput' && part === 'combine';
  const kernels = isCast ? parts.flatMap((each) => each.kernels) : [];
  return { kernels, transfers, tensorTransfers: [] };
}

function hasShared(of: PartsOf): boolean {
  return of('experts').some(({ kernels }) => kernels.some(({ isShared }) => isShared));
}

function joined(
  parts: readonly PartWork[],
  again: readonly PartWork[],
  which: 'all' | 'shared' | 'routed' = 'all',
): StepWork {
  const isWanted = ({ isShared }: KernelWork): boolean =>
    which === 'all' || isShared === (which === 'shared');
  return {
    kernels: [
      ...again.flatMap(({ kernels }) => kernels),
      ...parts.flatMap(({ kernels }) => kernels.filter(isWanted)),
    ],
    transfers: again.flatMap(({ transfer }) => (transfer === null ? [] : [transfer])),
    tensorTransfers: [
      ...again.flatMap(({ tensorTransfers }) => tensorTransfers),
      ...(which === 'routed' ? [] : parts.flatMap(({ tensorTransfers }) => tensorTransfers)),
    ],
  };
}

function blocksOf(slice: SliceWork): Block[] {
  switch (slice.kind) {
    case 'embedding':
      return [];
    case 'dense':
    case 'moe':
      return [{ slice, layer: slice.layer }];
    case 'head': {
      const layers = slice.forward.filter(({ part }) => part === 'attention');
      return layers.map(({ layer }) => ({ slice, layer }));
    }
    default:
      return slice.kind satisfies never;
  }
}
