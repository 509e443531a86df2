/**
 * `moebius start`, what `npm start` runs: a small DeepSeek-V3 trained on real English text while a
 * page shows it, held against a compressor, saved, and talking, with and without MTP speculation;
 * then it waits in the page for whoever wants to talk with it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import type { TrainConfig } from '../../config/trainConfig.ts';
import { acceptanceRate } from '../../serving/generate.ts';
import type { TextGenerator, TextRequest } from '../../serving/textGenerator.ts';
import { openGenerator } from '../openGenerator.ts';
import { type Cell, describeError, formatTable, note, print, printResult } from '../output.ts';
import type { PreparedText } from '../prepareTraining.ts';
import { type ResolvedTraining, resolveTraining } from '../resolveTraining.ts';
import { runJson, runRows, runTraining } from '../runTraining.ts';
import { openRunPage, type RunPage, serveInPage } from '../studio/runPage.ts';
import { untilLeft } from '../studio/studioThread.ts';
import { terminalWatch } from '../terminalWatch.ts';
import { type TimedGeneration, timedGeneration } from './generate.ts';

export interface StartOptions {
  readonly set?: readonly string[];
  readonly out?: string;
  readonly ui?: boolean;
  readonly uiPort?: number;
  readonly json?: boolean;
}

const SAMPLE_TOKENS = 160;
/** Runs of each kind of generation, in turns, behind one of each that warms up; medians count. */
const REPETITIONS = 7;
/** Where no terminal is there for a Ctrl-C, a page that nobody looks at ends after this. */
const UNWATCHED_SECONDS = 60;

export async function start(options: StartOptions): Promise<void> {
  const { config, derived } = resolveTraining('start', options.set);
  const directory = options.out ?? freeFolder('runs/start');
  const resolved = { config: { ...config, directory }, derived };
  if (options.ui === false || options.json === true) {
    await trainAndSpeak(resolved, options);
    return;
  }
  const page = await openPage(resolved.config, options.uiPort);
  try {
    const checkpoint = await trainAndSpeak(resolved, options);
    if (checkpoint !== null && page !== null) await talkInPage(page, checkpoint);
  } finally {
    await page?.studio.close();
  }
}

/** @returns null where the page was not built: that is no reason not to train */
async function openPage(config: TrainConfig, port: number | undefined): Promise<RunPage | null> {
  try {
    const page = await openRunPage(config, port ?? null, note);
    note(`watch it train at ${page.url}`);
    return page;
  } catch (error) {
    if (!(error instanceof MoebiusError) || error.code !== 'studio.unbuilt') throw error;
    note(describeError(error));
    return null;
  }
}

async function talkInPage(page: RunPage, checkpoint: string): Promise<void> {
  await serveInPage(page, checkpoint);
  const isTerminal = process.stdout.isTTY === true;
  const end = isTerminal ? 'Ctrl-C ends it' : 'it ends when nobody has it open for a minute';
  print(`talk with it at ${page.url}/#/chat`);
  note(`(${end}; again: npx moebius studio ${page.folder} --checkpoint ${checkpoint})`);
  await untilLeft(page.studio, isTerminal ? null : UNWATCHED_SECONDS);
}

/** @returns the checkpoint, or null where somebody stopped it */
async function trainAndSpeak(
  { config, derived }: ResolvedTraining,
  options: StartOptions,
): Promise<string | null> {
  const run = await runTraining({ config, derived, resume: false }, terminalWatch());
  const { summary } = run;
  const checkpoint = summary.checkpoint?.directory;
  if (summary.end !== 'finished' || checkpoint === undefined) {
    printResult(options, { table: formatTable(runRows(run)), json: runJson(run) });
    if (summary.end === 'requested') {
      note(`stopped; go on with: npx moebius train start --out ${config.directory} --resume`);
      process.exitCode = 130;
      return null;
    }
    throw new MoebiusError('train.fault', 'the guard stopped the run', {
      values: { ...summary.incident },
      hint: 'Look at the tensor it names.',
    });
  }
  const compressed = compressedBitsPerByte(run.prepared.text);
  const { generator } = await openGenerator({ checkpoint, note });
  const prompt = config.sample.prompts[0] ?? 'The ';
  const request: TextRequest = {
    prompt,
    maxTokens: SAMPLE_TOKENS,
    sampling: { temperature: 0.7, topK: 0, topP: 0.95, minP: 0, seed: 7 },
    ignoresEnd: true,
  };
  print(`\n${prompt}`);
  const { plain, drafted } = await compareSpeculation(generator, request);
  print(`${plain.text.trim()}\n`);
  if (drafted.text !== plain.text) {
    throw new MoebiusError('generate.speculation', 'speculation changed the text', {
      hint: 'Report this: drafts may change speed and nothing else.',
    });
  }
  const rate = acceptanceRate(drafted.summary);
  const rows: Cell[][] = [
    ...runRows(run),
    ['xz -9, same bytes', compressed === null ? 'xz is not installed' : bits(compressed)],
    ['generation', `${plain.tokensPerSecond.toFixed(0)} tokens/s`],
    [
      'with MTP speculation',
      `${drafted.tokensPerSecond.toFixed(0)} tokens/s, ${formatPercent(rate)} of drafts accepted`,
    ],
    ['continue a text', `npx moebius generate --checkpoint ${checkpoint} --prompt "…"`],
  ];
  printResult(options, {
    table: formatTable(rows),
    json: {
      ...runJson(run),
      xzBitsPerByte: compressed,
      generationTokensPerSecond: plain.tokensPerSecond,
      speculativeTokensPerSecond: drafted.tokensPerSecond,
      acceptanceRate: rate,
      sample: plain.text,
    },
  });
  return checkpoint;
}

/** Every call trains afresh, in a folder of its own: an earlier model is somebody's. */
export function freeFolder(wanted: string): string {
  let folder = wanted;
  for (let number = 2; existsSync(folder); number++) folder = `${wanted}-${number}`;
  return folder;
}

function bits(value: number): string {
  return `${value.toFixed(4)} bits per byte`;
}

/** Plain and speculative in turns: on a busy machine only neighbours can be compared. */
async function compareSpeculation(
  generator: TextGenerator,
  request: TextRequest,
): Promise<{ plain: TimedGeneration; drafted: TimedGeneration }> {
  const plain: TimedGeneration[] = [];
  const drafted: TimedGeneration[] = [];
  for (let round = 0; round <= REPETITIONS; round++) {
    const one = await timedGeneration(generator, request, () => {});
    const other = await timedGeneration(generator, { ...request, numDrafts: 1 }, () => {});
    if (round === 0) continue;
    plain.push(one);
    drafted.push(other);
  }
  return { plain: medianOf(plain), drafted: medianOf(drafted) };
}

function medianOf(runs: readonly TimedGeneration[]): TimedGeneration {
  const sorted = runs.toSorted((a, b) => a.tokensPerSecond - b.tokensPerSecond);
  return at(sorted, Math.floor(sorted.length / 2));
}

/** What `xz -9` makes of the held-out text, or null where there is no xz. */
function compressedBitsPerByte({ validation }: PreparedText): number | null {
  const bytes = Buffer.from(validation.map(({ text }) => text).join(''), 'utf8');
  const xz = spawnSync('xz', ['-9', '--stdout'], { input: bytes, maxBuffer: 2 ** 28 });
  return xz.status === 0 ? (8 * xz.stdout.length) / bytes.length : null;
}
