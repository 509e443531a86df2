/**
 * The inner order of passes as data: which part of which block runs next on the compute stream and
 * on the communication stream, and what each waits for.
 *
 * A pair (DeepSeek-V3 report, 3.2.1, figure 4; the same order in DeepSeek's published training
 * trace). Slot i holds forward of block i and backward of the i-th block from the end:
 *
 *     compute        attn(F)     mlp(B)        mlp(W) mlp(F)   attn(B)      attn(W)
 *     communication  combine(B)  dispatch(F)   dispatch(B)     combine(F)   combine(B) of the next
 *
 * The gradient of a combine is a dispatch with a known layout and the other way round; parts keep
 * the name of what they differentiate. A lone pass overlaps what it can with itself: shared experts
 * under dispatch forward and under combine backward, weight gradients under dispatch backward.
 */
import { at } from '../../base/assert.ts';
import type { PartStep, StagePart } from '../../program/instruction.ts';
import type { StageParts } from './stageParts.ts';

export function pairOrder(pair: {
  readonly forward: StageParts;
  readonly backward: StageParts;
}): readonly PartStep[] {
  const forward = forwardParts(pair.forward);
  const backward = backwardParts(pair.backward);
  const { first: opening, last: closing } = ends(pair.backward);
  const slots = Math.max(forward.length, backward.length);
  const steps: Step[] = [...forwardStart(pair.forward), ...opening];
  for (let slot = 0; slot < slots; slot++) {
    const f = forward[slot] ?? noForward;
    const b = backward[slot] ?? noBackward;
    steps.push(...b.combine, ...f.attention, ...b.mlp, ...f.dispatch, ...b.dispatch);
    steps.push(...b.mlpWeight, ...f.mlp, ...b.attention, ...b.attentionWeight, ...f.combine);
  }
  return linked([...steps, ...forwardEnd(pair.forward), ...closing], pair);
}

export function forwardOrder(stage: StageParts): readonly PartStep[] {
  const blocks = forwardParts(stage).flatMap((block) => [
    ...block.attention,
    ...block.dispatch,
    ...block.mlp,
    ...block.combine,
  ]);
  const steps = [...forwardStart(stage), ...blocks, ...forwardEnd(stage)];
  return linked(steps, { forward: stage, backward: stage });
}

/** A whole backward: weight gradients stand where they hide a dispatch or the next combine. */
export function backwardOrder(stage: StageParts): readonly PartStep[] {
  return linked(backwardSteps(stage), { forward: stage, backward: stage });
}

export function backwardInputOrder(stage: StageParts): readonly PartStep[] {
  const steps = backwardSteps(stage).filter(({ pass }) => pass === 'backwardInput');
  return linked(steps, { forward: stage, backward: stage });
}

export function backwardWeightOrder(stage: StageParts): readonly PartStep[] {
  const steps = backwardSteps(stage).filter(({ pass }) => pass === 'backwardWeight');
  return linked(steps, { forward: stage, backward: stage });
}

type Step = Pick<PartStep, 'pass' | 'part' | 'layer'>;

interface ForwardBlock {
  readonly attention: readonly Step[];
  readonly dispatch: readonly Step[];
  readonly mlp: readonly Step[];
  readonly combine: readonly Step[];
}

interface BackwardBlock extends ForwardBlock {
  readonly mlpWeight: readonly Step[];
  readonly attentionWeight: readonly Step[];
}

const noForward: ForwardBlock = { attention: [], dispatch: [], mlp: [], combine: [] };
const noBackward: BackwardBlock = { ...noForward, mlpWeight: [], attentionWeight: [] };

/** Shared experts come first: they run while tokens are still under way. */
function mlpParts(stage: StageParts, layer: number): readonly StagePart[] {
  if (at(stage.blocks, layer) === 'dense') return ['denseMlp'];
  return stage.hasSharedExperts ? ['sharedExperts', 'experts'] : ['experts'];
}

function block(stage: StageParts, pass: PartStep['pass'], layer: number): ForwardBlock {
  const step = (part: StagePart): Step => ({ pass, part, layer });
  const isMoe = at(stage.blocks, layer) === 'moe';
  return {
    attention: [step('attention')],
    dispatch: isMoe ? [step('dispatch')] : [],
    mlp: mlpParts(stage, layer).map(step),
    combine: isMoe ? [step('combine')] : [],
  };
}

function forwardParts(stage: StageParts): ForwardBlock[] {
  return stage.blocks.map((_, layer) => block(stage, 'forward', layer));
}

/** From the last block to the first. */
function backwardParts(stage: StageParts): BackwardBlock[] {
  return stage.blocks
    .map((_, layer) => {
      const weight = block(stage, 'backwardWeight', layer);
      const input = block(stage, 'backwardInput', layer);
      return { ...input, mlpWeight: weight.mlp, attentionWeight: weight.attention };
    })
    .reverse();
}

function backwardSteps(stage: StageParts): Step[] {
  const { first, last } = ends(stage);
  const blocks = backwardParts(stage).flatMap((each) => [
    ...each.combine,
    ...each.mlp,
    ...each.dispatch,
    ...each.mlpWeight,
    ...each.attention,
    ...each.attentionWeight,
  ]);
  return [...first, ...blocks, ...last];
}

function forwardStart({ hasEmbedding }: StageParts): Step[] {
  return hasEmbedding ? [{ pass: 'forward', part: 'embedding', layer: 0 }] : [];
}

function forwardEnd({ hasHead }: StageParts): Step[] {
  return hasHead ? [{ pass: 'forward', part: 'head', layer: 0 }] : [];
}

/**
 * What a backward begins and ends with; token ids have no gradient, so the embedding has one half.
 */
function ends({ hasHead, hasEmbedding }: StageParts): { first: Step[]; last: Step[] } {
  const head: Step[] = [
    { pass: 'backwardInput', part: 'head', layer: 0 },
    { pass: 'backwardWeight', part: 'head', layer: 0 },
  ];
  const embedding: Step[] = [{ pass: 'backwardWeight', part: 'embedding', layer: 0 }];
  return { first: hasHead ? head : [], last: hasEmbedding ? embedding : [] };
}

interface Pair {
  readonly forward: StageParts;
  readonly backward: StageParts;
}

/** Gives every step its stream and the places of the steps whose results it reads. */
function linked(steps: readonly Step[], pair: Pair): readonly PartStep[] {
  const places = new Map(steps.map((step, index) => [keyOf(step), index]));
  return steps.map((step) => ({
    ...step,
    stream: step.part === 'dispatch' || step.part === 'combine' ? 'communication' : 'compute',
    waitsFor: readsOf(step, pair)
      .map((read) => places.get(keyOf(read)))
      .filter((place) => place !== undefined),
  }));
}

function keyOf({ pass, part, layer }: Step): string {
  return `${pass}/${part}/${layer}`;
}

function readsOf(step: Step, { forward, backward }: Pair): Step[] {
  const { pass, part, layer } = step;
  const near = (...parts: readonly StagePart[]): Step[] =>
    parts.map((each) => ({ pass, part: each, layer }));
  if (pass === 'backwardWeight') {
    if (part === 'embedding') {
      const last = backward.blocks.length === 0 ? 'head' : 'attention';
      return [{ pass: 'backwardInput', part: last, layer: 0 }];
    }
    return [{ pass: 'backwardInput', part, layer }];
  }
  if (pass === 'forward') {
    switch (part) {
      case 'embedding':
        return [];
      case 'attention':
        return layer === 0 ? near('embedding') : outputOf(forward, layer - 1);
      case 'dispatch':
      case 'sharedExperts':
      case 'denseMlp':
        return near('attention');
      case 'experts':
        return near('dispatch');
      case 'combine':
        return near('experts');
      case 'head':
        return forward.blocks.length === 0
          ? near('embedding')
          : outputOf(forward, forward.blocks.length - 1);
      default:
        return part satisfies never;
    }
  }
  switch (part) {
    case 'head':
    case 'embedding':
      return [];
    case 'combine':
    case 'sharedExperts':
    case 'denseMlp':
      return layer === backward.blocks.length - 1
        ? [{ pass, part: 'head', layer: 0 }]
        : [{ pass, part: 'attention', layer: layer + 1 }];
    case 'experts':
      return near('combine');
    case 'dispatch':
      return near('experts');
    case 'attention':
      return near('dispatch', 'sharedExperts', 'denseMlp');
    default:
      return part satisfies never;
  }
}

function outputOf(stage: StageParts, layer: number): Step[] {
  const parts: StagePart[] =
    at(stage.blocks, layer) === 'dense' ? ['denseMlp'] : ['combine', 'sharedExperts'];
  return parts.map((part) => ({ pass: 'forward', part, layer }));
}
