/**
 * What a stage is made of, as far as the order of its parts goes: which blocks are dense, whether
 * experts include shared ones, and which ends of the model it holds.
 */
export interface StageParts {
  /** Blocks in order; those of MTP modules come last, behind the main model's. */
  readonly blocks: readonly BlockKind[];
  readonly hasSharedExperts: boolean;
  readonly hasEmbedding: boolean;
  readonly hasHead: boolean;
}

export type BlockKind = 'dense' | 'moe';

/** The numbers of a model that say which blocks are dense; those of every `PlannedModel`. */
export interface StageRange {
  /** Blocks `first` … `last − 1` of the main model. */
  readonly first: number;
  readonly last: number;
  readonly numLayers: number;
  /** Whether the block at this place of the whole model routes tokens to experts. */
  readonly isMoe: (layer: number) => boolean;
  readonly hasSharedExperts: boolean;
  /** MTP modules, on the stage that ends the model. */
  readonly numMtpBlocks: number;
}

export function stagePartsOf(range: StageRange): StageParts {
  const { first, last, numLayers, isMoe, hasSharedExperts, numMtpBlocks } = range;
  const hasHead = last === numLayers;
  const end = last + (hasHead ? numMtpBlocks : 0);
  return {
    blocks: Array.from({ length: end - first }, (_, block) =>
      isMoe(first + block) ? 'moe' : 'dense',
    ),
    hasSharedExperts,
    hasEmbedding: first === 0,
    hasHead,
  };
}
