/** Arguments of the operations that are halves of a block over a few rows (`kernels.ts`). */
import type { F32, I32, LatentCache, RoutingRule, Weight } from './operands.ts';

export interface MlaDecodeArgs {
  /** At most `MAX_DECODE_ROWS` rows. */
  readonly x_TD: F32;
  readonly positions_T: I32;
  /** Where each row goes in the cache: block · blockSize + place. */
  readonly slots_T: I32;
  /** As in `absorbedAttention`, lengths counting the new rows. */
  readonly cache: LatentCache;
  readonly blockTable: I32;
  readonly sequence_T: I32;
  readonly length_T: I32;
  /** Rotations, as in `rope`. */
  readonly table: F32;
  readonly gain: F32;
  /** `[Q, D]` and the gain of its norm; left out where `q` projects x itself. */
  readonly qLatent?: { readonly down: Weight; readonly gain: F32 } | undefined;
  /** `[H × (N+P), Q or D]` */
  readonly q: Weight;
  /** `[C+P, D]` */
  readonly kvDown: Weight;
  readonly kvGain: F32;
  /** `[H × (N+V), C]`: of each head its keys' rows, then its values'. */
  readonly kv: Weight;
  /** `[D, H × V]` */
  readonly o: Weight;
  readonly numHeads: number;
  readonly eps: number;
  /** Of the two latents' norms. */
  readonly latentEps: number;
  readonly scale: number;
}

export interface FeedForwardDecodeArgs {
  /** At most `MAX_DECODE_ROWS` rows. */
  readonly x_TD: F32;
  readonly gain: F32;
  readonly eps: number;
  /** `[2I, D]` (gate rows, then up) and `[D, I]` */
  readonly mlp?: { readonly gateUp: Weight; readonly down: Weight } | undefined;
  readonly routed?:
    | {
        /** `[E, D]` */
        readonly router: Weight;
        readonly bias_E: F32;
        /** *Added to*: how many rows chose each expert. */
        readonly counts_E: I32;
        /** `[E, 2F, D]` and `[E, D, F]` */
        readonly gateUp: Weight;
        readonly down: Weight;
        readonly rule: RoutingRule;
      }
    | undefined;
}
