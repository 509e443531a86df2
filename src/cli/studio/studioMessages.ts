/** What crosses between the studio's thread and whoever started it. */
import type { EngineFailure } from '../../serving/engineClient.ts';

export type FromStudio =
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'unwatched' }
  | { readonly kind: 'failed'; readonly error: EngineFailure };

export type ToStudio =
  | { readonly kind: 'close' }
  /** Wants to hear when nobody has been connected for so long. */
  | { readonly kind: 'watchers'; readonly seconds: number };
