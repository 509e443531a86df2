/**
 * What the studio's server says to its page, as JSON: types alone, which the page may import.
 *
 * `GET  /studio/api/runs` → `RunSummary[]`; `GET /studio/api/checkpoints` → `CheckpointSummary[]`;
 * `GET  /studio/api/runs/:id/config` → the run's `train.json`;
 * `GET  /studio/api/runs/:id/metrics?from=BYTE` → lines of JSON from there to the last whole one;
 *   headers `x-next-byte` and `x-from-byte`, which is 0 where the file was begun anew;
 * `GET  /studio/api/runs/:id/follow?from=BYTE` → server-sent events: `data` is whole lines, `id`
 *   the next byte; the event `restart` says that the file was begun anew: lines come from byte 0;
 * `POST /studio/api/serve` `{ checkpoint: id }`, `{ checkpoint: null }` to stop → `ServeState`;
 * `GET  /studio/api/serve/state` → `ServeState`; `GET /studio/api/serve/experts` → `ServedExperts`;
 * `POST /studio/api/serve/routing` `{ prompt }` or `{ messages }`, as `/tokenize` takes them, of at
 *   most 512 tokens → `PromptRouting`;
 * errors → `StudioError`.
 */
import type { EngineInfo, EngineInside } from '../../serving/engineClient.ts';

/** `stopped`: it says no end, and nothing was written for a while. */
export type RunState = 'running' | 'finished' | 'requested' | 'fault' | 'stopped';

export interface RunSummary {
  /** Of letters that a URL may have, stable while the folder keeps its place. */
  readonly id: string;
  /** The folder's own name. */
  readonly name: string;
  readonly directory: string;
  readonly recipe: string;
  /** "deepseek_v3, 12 layers, 8 experts" */
  readonly model: string;
  /** ISO 8601; when it was begun or resumed last. */
  readonly startedAt: string;
  /** Steps done, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly state: RunState;
  /** Of its files those that are not what they should be: no JSON, or lines that are none. */
  readonly unreadable: readonly string[];
}

export interface CheckpointSummary {
  readonly id: string;
  readonly name: string;
  readonly directory: string;
  /** The run that wrote it, where there is one. */
  readonly runId: string | null;
  /** ISO 8601; of its config. */
  readonly writtenAt: string;
  /** Of its weights. */
  readonly bytes: number;
  /** `text`: trained here on plain text, or without a template of chats: it goes on with a text. */
  readonly speaks: 'chat' | 'text';
}

export type ServeState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'starting';
      readonly checkpoint: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | {
      readonly kind: 'ready';
      readonly checkpoint: string;
      /** Its name at `/v1/…`. */
      readonly model: string;
      readonly info: EngineInfo;
    }
  | {
      readonly kind: 'failed';
      readonly checkpoint: string;
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly hint: string | null;
      };
    };

/** Tokens that each expert was given since the checkpoint was loaded; they only grow. */
export interface ServedExperts {
  readonly checkpoint: string;
  readonly layers: readonly {
    readonly layer: number;
    readonly tokensPerExpert: readonly number[];
    /** Of the checkpoint: what the gate adds to each expert's score when it chooses. */
    readonly bias?: readonly number[];
  }[];
}

/** The engine's last steps with forecasts by this machine's limits, its requests, its cache. */
export interface ServedInside extends EngineInside {
  readonly checkpoint: string;
}

/** Where the tokens of one prompt were sent by the MoE layers of what is served. */
export interface PromptRouting {
  readonly checkpoint: string;
  /** K, and of how many. */
  readonly expertsPerToken: number;
  readonly numExperts: number;
  readonly tokens: readonly RoutedToken[];
  /** Numbers of the MoE layers, rising; none in a dense model. */
  readonly layers: readonly number[];
  /** By layer and token, K experts in the order in which the gate chose them. */
  readonly experts: readonly (readonly (readonly number[])[])[];
  /** What their outputs are multiplied by, in the same order. */
  readonly weights: readonly (readonly (readonly number[])[])[];
}

export interface RoutedToken {
  readonly id: number;
  /** Bytes that are no text by themselves are spelled `\xE4`. */
  readonly text: string;
  /** Of such a token: mostly part of a character that goes on in the next. */
  readonly bytes?: readonly number[];
}

export interface StudioError {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly values: Readonly<Record<string, unknown>>;
  };
}
