/** A run in one row, from the ends of its files: a long run's metrics are never read whole. */
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readLastLines } from '../../runtime/wholeLines.ts';
import type { RunState, RunSummary } from '../../server/studio/wire.ts';

/** Of a config only what is shown; files of other versions may have less. */
interface ShownConfig {
  readonly name?: string;
  readonly steps?: number;
  readonly model?: {
    readonly modelType?: string;
    readonly numHiddenLayers?: number;
    readonly nRoutedExperts?: number | null;
  };
}

interface Line {
  readonly kind?: string;
  readonly step?: number;
  readonly numSteps?: number;
  readonly seconds?: number;
  readonly summary?: { readonly end?: string; readonly step?: number };
}

/** Looked at from the end; a line of 61 layers with 256 experts has some 150 kB. */
const TAIL_BYTES = [2 ** 16, 2 ** 20, 2 ** 24];
/** A run that says nothing for longer has died: an evaluation or a checkpoint takes less. */
const SILENCE_SECONDS = 120;
const SILENCE_STEPS = 20;

/**
 * null where its files are gone. What cannot be read of them is left out, and the run is listed
 * with what is wrong: one that is not listed is one that nobody looks for.
 */
export async function summarizeRun(
  directory: string,
  { id, now }: { readonly id: string; readonly now: Date },
): Promise<RunSummary | null> {
  const configPath = join(directory, 'train.json');
  const metricsPath = join(directory, 'metrics.jsonl');
  try {
    const written = parseObject<ShownConfig>(await readFile(configPath, 'utf8'));
    const config: ShownConfig = written ?? {};
    const { mtime: startedAt } = await stat(configPath);
    const { mtime: writtenAt, size } = await stat(metricsPath);
    const { last, step, isWhole } = await readEnd(metricsPath, size);
    const silence = (now.getTime() - writtenAt.getTime()) / 1000;
    const longest = Math.max(SILENCE_SECONDS, SILENCE_STEPS * (step?.seconds ?? 0));
    return {
      ...{ id, directory, name: basename(directory) },
      recipe: config.name ?? '',
      model: describeModel(config.model),
      startedAt: startedAt.toISOString(),
      step: step?.step ?? 0,
      steps: config.steps ?? step?.numSteps ?? 0,
      state: stateOf(last, silence < longest ? 'running' : 'stopped'),
      unreadable: [
        ...(written === null ? ['train.json'] : []),
        ...(isWhole ? [] : ['metrics.jsonl']),
      ],
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function stateOf(last: Line | null, otherwise: 'running' | 'stopped'): RunState {
  const end = last?.kind === 'end' ? last.summary?.end : undefined;
  return end === 'finished' || end === 'requested' || end === 'fault' ? end : otherwise;
}

function describeModel(model: ShownConfig['model']): string {
  const { modelType = '', numHiddenLayers, nRoutedExperts } = model ?? {};
  const layers = numHiddenLayers === undefined ? [] : [`${numHiddenLayers} layers`];
  const experts = nRoutedExperts ? [`${nRoutedExperts} experts`] : [];
  return [modelType, ...layers, ...experts].filter(Boolean).join(', ');
}

interface FileEnd {
  /** The last line, and the last one about a step; of those that can be read. */
  readonly last: Line | null;
  readonly step: Line | null;
  /** Whether all of its lines were JSON. */
  readonly isWhole: boolean;
}

async function readEnd(path: string, size: number): Promise<FileEnd> {
  let end: FileEnd = { last: null, step: null, isWhole: true };
  for (const length of TAIL_BYTES) {
    const texts = (await readLastLines(path, length)).filter(Boolean);
    const lines = texts.map(parseObject<Line>);
    const last = lines.findLast((line) => line !== null) ?? null;
    const step = lines.findLast((line) => line?.kind === 'step') ?? null;
    end = { last, step, isWhole: !lines.includes(null) };
    if (step !== null || length >= size) break;
  }
  return end;
}

/** null for half a line of a process that was killed, and for what is no object. */
function parseObject<T extends object>(text: string): T | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as T) : null;
  } catch {
    return null;
  }
}
