/**
 * `moebius generate`: a prompt continued, as it comes, then what it cost. With `--speculate` the
 * MTP module drafts; the text is the same, token for token, and the share of drafts that stood is
 * printed.
 */
import type { Sampling } from '../../program/instruction.ts';
import { acceptanceRate } from '../../serving/generate.ts';
import type { TextGenerator, TextRequest, TextSummary } from '../../serving/textGenerator.ts';
import { openGenerator } from '../openGenerator.ts';
import { formatTable, note, printResult } from '../output.ts';
import { progressLine } from '../progressLine.ts';

export interface SamplingOptions {
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly seed: number;
}

export interface GenerateOptions extends SamplingOptions {
  readonly checkpoint: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  /** true: one draft a step. */
  readonly speculate?: number | true;
  readonly ignoreEos?: boolean;
  readonly kernels?: string;
  readonly json?: boolean;
}

export async function generate(options: GenerateOptions): Promise<void> {
  const { generator, machine } = await openGenerator({
    ...options,
    note,
    onProgress: progressLine('loading'),
  });
  const request: TextRequest = {
    prompt: options.prompt,
    maxTokens: options.maxTokens,
    sampling: samplingOf(options),
    stop: options.stop ?? [],
    numDrafts: numDrafts(options.speculate),
    ignoresEnd: options.ignoreEos === true,
  };
  process.stdout.write(options.prompt);
  const run = await timedGeneration(generator, request, (text) => process.stdout.write(text));
  process.stdout.write('\n\n');
  const { summary } = run;
  const rows: [string, string | number][] = [
    ['prompt tokens', summary.numPromptTokens],
    ['new tokens', summary.numTokens],
    ['finish', summary.finishReason],
    ['first token', `${run.firstTokenSeconds.toFixed(3)} s`],
    ['tokens per second', run.tokensPerSecond.toFixed(1)],
    ['kernels', machine.description],
  ];
  if (summary.numDrafted > 0) {
    const rate = (acceptanceRate(summary) * 100).toFixed(1);
    const drafts = `${summary.numAccepted} of ${summary.numDrafted} (${rate} %)`;
    rows.push(['drafts accepted', drafts], ['passes', summary.numPasses]);
  }
  printResult(options, {
    table: formatTable(rows),
    json: {
      text: run.text,
      promptTokens: summary.numPromptTokens,
      tokens: summary.numTokens,
      ids: run.ids,
      finishReason: summary.finishReason,
      firstTokenSeconds: run.firstTokenSeconds,
      tokensPerSecond: run.tokensPerSecond,
      passes: summary.numPasses,
      drafted: summary.numDrafted,
      accepted: summary.numAccepted,
      acceptanceRate: acceptanceRate(summary),
    },
  });
}

export function samplingOf(options: SamplingOptions): Sampling {
  const { temperature, topK = 0, topP = 1, minP = 0, seed } = options;
  return { temperature, topK, topP, minP, seed };
}

export function numDrafts(speculate: number | true | undefined): number {
  return speculate === true ? 1 : (speculate ?? 0);
}

export interface TimedGeneration {
  readonly text: string;
  readonly ids: readonly number[];
  readonly summary: TextSummary;
  readonly firstTokenSeconds: number;
  /** Of the tokens after the first; 0 when there are none. */
  readonly tokensPerSecond: number;
}

export async function timedGeneration(
  generator: TextGenerator,
  request: TextRequest,
  show: (text: string) => unknown,
): Promise<TimedGeneration> {
  const start = performance.now();
  let first = start;
  const ids: number[] = [];
  let text = '';
  const pieces = generator.generate(request);
  let next = await pieces.next();
  for (; next.done !== true; next = await pieces.next()) {
    if (ids.length === 0) first = performance.now();
    ids.push(next.value.token.id);
    text += next.value.text;
    await show(next.value.text);
  }
  const seconds = (performance.now() - first) / 1000;
  await show(next.value.rest);
  return {
    text: text + next.value.rest,
    ids,
    summary: next.value,
    firstTokenSeconds: (first - start) / 1000,
    tokensPerSecond: ids.length > 1 && seconds > 0 ? (ids.length - 1) / seconds : 0,
  };
}
