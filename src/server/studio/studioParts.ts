/** What the studio's server stands on: files and engines are elsewhere, asked through these. */
import type { RequestListener } from 'node:http';
import type { RequestLog } from '../requestLog.ts';
import type { ReadyEngine } from './promptRouting.ts';
import type {
  CheckpointSummary,
  RunSummary,
  ServedExperts,
  ServedInside,
  ServeState,
} from './wire.ts';

/** Lines of a file, none of them cut. */
export interface LinesRead {
  readonly bytes: Uint8Array;
  /** Where they begin: 0, if no line begins where one was asked for (the file was begun anew). */
  readonly from: number;
  readonly next: number;
  /** Of the file, a line under way included. */
  readonly size: number;
}

/** [from, to) */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

export interface LineRange {
  readonly from: number;
  /** Bytes at most; a line that is longer comes alone. */
  readonly maxBytes: number;
}

/** Runs and checkpoints below a folder. Ids are looked up, and never become paths. */
export interface StudioFolder {
  runs(): Promise<readonly RunSummary[]>;
  checkpoints(): Promise<readonly CheckpointSummary[]>;
  /** null: there is no such run; the same below. */
  config(runId: string): Promise<unknown | null>;
  metrics(runId: string, range: LineRange): Promise<LinesRead | null>;
  /** Where the last whole line ends now. */
  metricsEnd(runId: string): Promise<number | null>;
  /** Fewer where the file was cut meanwhile. */
  metricsBytes(runId: string, range: ByteRange): Promise<Uint8Array | null>;
  /** Calls whenever there may be more, and now and then without a reason. @returns ends it */
  watchMetrics(runId: string, onChange: () => void): Promise<(() => void) | null>;
}

/** One checkpoint at a time, behind OpenAI's API. */
export interface StudioServing {
  readonly state: ServeState;
  /** Of the API's server; null while nothing is served. */
  readonly handler: RequestListener | null;
  /** In place of what is served now. Weights are loaded after it returns: the state tells. */
  serve(checkpoint: CheckpointSummary): Promise<void>;
  stop(): Promise<void>;
  /** null where no engine is ready; the same below. */
  readonly ready: ReadyEngine | null;
  experts(): Promise<ServedExperts | null>;
  inside(): Promise<ServedInside | null>;
}

export interface StaticFile {
  readonly bytes: Uint8Array;
  readonly type: string;
  /** Its name has a hash of its bytes. */
  readonly isHashed: boolean;
}

export interface StudioParts {
  /** The built page by path: `/index.html`, `/assets/main-1a2b3c4d.js`. */
  readonly page: ReadonlyMap<string, StaticFile>;
  readonly folder: StudioFolder;
  readonly serving: StudioServing;
  /** That it listens at; a name for this machine is always understood. */
  readonly host: string;
  readonly log: RequestLog;
}
