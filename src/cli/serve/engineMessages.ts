/**
 * What the HTTP thread and the kernel thread say to one another: plain data, one message for all
 * that a step did.
 */
import type {
  EngineEvent,
  EngineFailure,
  EngineInfo,
  EngineInside,
  EngineRequest,
  EngineStats,
  ExpertLoads,
  PromptRoutes,
} from '../../serving/engineClient.ts';

export type ToEngine =
  | { readonly kind: 'submit'; readonly request: EngineRequest }
  | { readonly kind: 'abort'; readonly requestId: string }
  | { readonly kind: 'flushCache'; readonly callId: number }
  | {
      readonly kind: 'expertLoads';
      readonly callId: number;
      readonly then: 'reset' | 'goOn';
    }
  | { readonly kind: 'routePrompt'; readonly callId: number; readonly promptIds: Int32Array }
  | { readonly kind: 'lookInside'; readonly callId: number }
  | { readonly kind: 'close' };

export type FromEngine =
  | { readonly kind: 'starting'; readonly doneBytes: number; readonly totalBytes: number }
  /** What a person should know about the checkpoint or the kernels. */
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'ready'; readonly info: EngineInfo; readonly stats: EngineStats }
  | {
      readonly kind: 'step';
      readonly events: readonly EngineEvent[];
      /** Now and then, with all that begins or ends, and before the engine idles. */
      readonly stats?: EngineStats;
    }
  | { readonly kind: 'freedBlocks'; readonly callId: number; readonly blocks: number }
  | { readonly kind: 'loads'; readonly callId: number; readonly loads: ExpertLoads }
  | { readonly kind: 'routes'; readonly callId: number; readonly routes: PromptRoutes }
  | { readonly kind: 'inside'; readonly callId: number; readonly inside: EngineInside }
  | { readonly kind: 'refused'; readonly callId: number; readonly error: EngineFailure }
  /** It could not start, or cannot go on; it ends now. */
  | { readonly kind: 'failed'; readonly error: EngineFailure };

export const NO_STATS: EngineStats = {
  running: 0,
  waiting: 0,
  waitingTokens: 0,
  usedBlocks: 0,
  cachedBlocks: 0,
  prefixQueriedTokens: 0,
  prefixHitTokens: 0,
  promptTokens: 0,
  generatedTokens: 0,
  numSteps: 0,
  stepSeconds: 0,
  preemptions: 0,
  drafted: 0,
  accepted: 0,
  draftedPerPosition: [],
  acceptedPerPosition: [],
};
