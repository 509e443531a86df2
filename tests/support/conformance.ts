/**
 * Everything that a request can ask for, with everything else: each case is a body that goes
 * through protocol, engine and real kernels, and has to come to what its *plain* form comes to:
 * alone, unstreamed, without drafts, on an empty cache.
 *
 * The model is the small trained one of the goldens, whose module predicts well, so that drafts
 * are accepted and refused; its 24 tokens are the letters a … x.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ManualClock } from '../../src/base/clock.ts';
import type { ServingExecutor } from '../../src/executor/executor.ts';
import { compileGrammar } from '../../src/grammar/compileGrammar.ts';
import { Engine } from '../../src/serving/engine.ts';
import type { EngineEvent } from '../../src/serving/engineClient.ts';
import { grammarVocabulary } from '../../src/serving/grammarVocabulary.ts';
import { prepare } from '../../src/serving/openai/prepare.ts';
import type { PreparedCall, ProtocolContext } from '../../src/serving/openai/protocol.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import { ChatTemplate } from '../../src/tokenizer/chatTemplate.ts';
import { engineInfo, engineRequest, localExecutor } from './engineWorld.ts';

/** The first level of each is the plain one. */
export const FACTORS = {
  drafts: ['none', '1 draft', '2 drafts'],
  grammar: ['none', 'regex', 'EBNF'],
  logprobs: ['none', 'of the model', 'of the sampler'],
  stop: ['none', 'string', 'token'],
  drawing: ['greedy', 'seeded'],
  prefix: ['cold', 'cached'],
  company: ['alone', 'others', 'an abort'],
  response: ['whole', 'streamed'],
} as const;

export type Factor = keyof typeof FACTORS;
export type Case = { readonly [F in Factor]: (typeof FACTORS)[F][number] };

export const FACTOR_NAMES: readonly Factor[] = Object.keys(FACTORS) as Factor[];

/** How many things a case asks for, beyond a plain request. */
export function isAsked(each: Case, factor: Factor): boolean {
  return each[factor] !== FACTORS[factor][0];
}

export function allCases(): Case[] {
  let cases: Record<string, string>[] = [{}];
  for (const factor of FACTOR_NAMES) {
    cases = cases.flatMap((each) => FACTORS[factor].map((level) => ({ ...each, [factor]: level })));
  }
  return cases as Case[];
}

/** Few cases in which every pair of levels of two factors meets: chosen greedily, in order. */
export function pairwiseCases(): Case[] {
  const pairsOf = (each: Case): string[] =>
    FACTOR_NAMES.flatMap((one, i) =>
      FACTOR_NAMES.slice(i + 1).map((other) => `${one} ${each[one]} ${other} ${each[other]}`),
    );
  const all = allCases().map((each) => ({ each, pairs: pairsOf(each) }));
  const open = new Set(all.flatMap(({ pairs }) => pairs));
  const chosen: Case[] = [];
  while (open.size > 0) {
    const worth = ({ pairs }: { pairs: string[] }): number =>
      pairs.filter((pair) => open.has(pair)).length;
    const best = all.reduce((most, next) => (worth(next) > worth(most) ? next : most));
    for (const pair of best.pairs) open.delete(pair);
    chosen.push(best.each);
  }
  return chosen;
}

const PROMPT = 'ahovcjqxelsbipwdkr';
const MAX_TOKENS = 24;
/** q, j, h and f: some of them in every plain text. */
const STOP_TOKENS = [16, 9, 7, 5];

/** What a response says. */
export interface Said {
  readonly text: string;
  readonly finishReason: string;
  readonly stopReason: unknown;
  readonly tokens: readonly string[];
  readonly logprobs: readonly number[];
  readonly top: readonly Readonly<Record<string, number>>[];
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly acceptedDrafts: number;
}

interface Choice {
  readonly text: string;
  readonly finish_reason: string | null;
  readonly stop_reason?: unknown;
  readonly logprobs: {
    readonly tokens: readonly string[];
    readonly token_logprobs: readonly number[];
    readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  } | null;
}

interface Body {
  readonly choices: readonly Choice[];
  readonly usage?: {
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
    readonly completion_tokens_details: { readonly accepted_prediction_tokens: number };
  } | null;
}

export class ConformanceDesk {
  readonly #executor: ServingExecutor;
  readonly #tokenizer: Tokenizer;
  readonly #plain = new Map<string, Promise<Said>>();

  private constructor(executor: ServingExecutor, tokenizer: Tokenizer) {
    this.#executor = executor;
    this.#tokenizer = tokenizer;
  }

  /** @param folder of `writeLetterCheckpoint` */
  static async open(folder: string): Promise<ConformanceDesk> {
    const tokenizer = loadTokenizer(readFileSync(join(folder, 'tokenizer.json')));
    return new ConformanceDesk(await localExecutor(), tokenizer);
  }

  /** @throws where a case says something else than its plain form, or breaks its own rules */
  async check(each: Case): Promise<void> {
    const said = await this.run(each);
    const plain = await this.#plainOf(each);
    const name = FACTOR_NAMES.map((factor) => each[factor]).join(', ');
    assert.equal(said.text, plain.text, name);
    assert.equal(said.finishReason, plain.finishReason, name);
    assert.deepEqual(said.stopReason, plain.stopReason, name);
    assert.equal(said.completionTokens, plain.completionTokens, name);
    assert.deepEqual(said.tokens, plain.tokens, name);
    near(said.logprobs, plain.logprobs, name);
    for (const [i, top] of said.top.entries()) {
      assert.deepEqual(Object.keys(top), Object.keys(plain.top[i] ?? {}), name);
      near(Object.values(top), Object.values(plain.top[i] ?? {}), name);
    }
    const stops = each.stop === 'string' ? stopsOf(each) : [];
    assert.ok(!stops.some((stop) => said.text.includes(stop)), name);
    const isWhole = said.finishReason === 'stop' && each.stop === 'none';
    if (each.grammar === 'regex' && isWhole)
      assert.match(said.text, /^([a-l]{2}[m-x]){1,6}$/, name);
    if (each.grammar === 'EBNF' && isWhole) assert.match(said.text, /^(ab|[c-x]a){1,6}$/, name);
    assert.equal(said.cachedTokens > 0, each.prefix === 'cached', name);
  }

  #plainOf(each: Case): Promise<Said> {
    const plain: Case = {
      ...each,
      ...{ drafts: 'none', prefix: 'cold', company: 'alone', response: 'whole' },
    };
    const key = JSON.stringify(plain);
    const known = this.#plain.get(key) ?? this.run(plain);
    this.#plain.set(key, known);
    return known;
  }

  /** One case on an engine of its own. */
  async run(each: Case): Promise<Said> {
    const info = engineInfo({ numBlocks: 80, blockSize: 4, maxSequences: 4 });
    const endIds = new Set<number>();
    const { vocabSize } = info;
    const vocabulary = grammarVocabulary(this.#tokenizer, { vocabSize, endIds });
    const engine = new Engine({
      ...{ executor: this.#executor, info, tokenBytes: this.#tokenizer, endIds },
      ...{ clock: new ManualClock(), numDrafts: 0, isDeterministic: false },
      tokenBudget: each.company === 'alone' ? 64 : 6,
      compileGrammar: (spec) => compileGrammar(spec, vocabulary),
    });
    const context = contextOf(this.#tokenizer, each);
    if (each.prefix === 'cached') {
      engine.add(engineRequest('before', [...this.#tokenizer.encode(PROMPT)], { maxTokens: 2 }));
      while (!engine.isIdle) await engine.step();
    }
    const call = prepare('completions', bodyOf(each), context, {});
    if (each.company !== 'alone') {
      engine.add(engineRequest('other 1', [1, 2, 3, 4, 5, 6, 7, 8, 9], { numDrafts: 1 }));
    }
    for (const request of call.requests) engine.add(request);
    if (each.company !== 'alone') {
      engine.add(engineRequest('other 2', [4, 4, 4, 4, 4], { maxTokens: 30 }));
    }
    const chunks: object[] = [...call.renderer.begin()].map(({ data }) => data);
    for (let step = 0; !engine.isIdle; step++) {
      if (each.company === 'an abort' && step === 5) engine.abort('other 2');
      for (const event of await engine.step()) chunks.push(...chunksOf(call, event));
    }
    assert.ok(
      call.renderer.isDone && call.renderer.failure === null,
      String(call.renderer.failure),
    );
    return each.response === 'whole' ? saidOf([call.renderer.body()]) : saidOf(chunks);
  }
}

function chunksOf(call: PreparedCall, event: EngineEvent): object[] {
  const isOurs = call.requests.some(({ requestId }) => requestId === event.requestId);
  return isOurs ? call.renderer.onEvent(event).map(({ data }) => data) : [];
}

/** Found in the plain texts without a grammar, of the regex, of the EBNF. */
function stopsOf({ drawing }: Case): readonly string[] {
  return drawing === 'greedy' ? ['ud', 'gm', 'va'] : ['cs', 'dw', 'fa'];
}

function bodyOf(each: Case): object {
  const regex = '([a-l]{2}[m-x]){1,6}';
  const ebnf = 'root ::= ("ab" | [c-x] "a"){1,6}';
  const isScored = each.logprobs !== 'none';
  return {
    ...{ model: 'letters', prompt: PROMPT, max_tokens: MAX_TOKENS },
    ...(each.drawing === 'greedy'
      ? { temperature: 0 }
      : { temperature: 1.2, top_p: 0.95, seed: 11 }),
    num_drafts: each.drafts === 'none' ? 0 : Number(each.drafts[0]),
    ...(each.grammar === 'regex' ? { structured_outputs: { regex } } : {}),
    ...(each.grammar === 'EBNF' ? { guided_grammar: ebnf } : {}),
    ...(isScored ? { logprobs: 3 } : {}),
    ...(each.stop === 'string' ? { stop: stopsOf(each) } : {}),
    ...(each.stop === 'token' ? { stop_token_ids: STOP_TOKENS } : {}),
    ...(each.response === 'whole' ? {} : { stream: true, stream_options: { include_usage: true } }),
  };
}

function contextOf(tokenizer: Tokenizer, each: Case): ProtocolContext {
  let numIds = 0;
  return {
    ...{ modelId: 'letters', aliases: [], created: 0, tokenizer, template: new ChatTemplate() },
    info: engineInfo({}),
    defaults: { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 },
    logProbabilitiesOf: each.logprobs === 'of the sampler' ? 'sampler' : 'model',
    ...{ beginning: 'template', maxChoices: 4, now: () => 0 },
    randomId: () => `case${numIds++}`,
    randomSeed: () => 0,
    formatNow: (format) => `[${format}]`,
  };
}

/** Of one whole body, or of all chunks of a stream. */
function saidOf(parts: readonly object[]): Said {
  const bodies = parts as readonly Body[];
  const choices = bodies.flatMap((body) => body.choices);
  const last = choices.findLast(({ finish_reason }) => finish_reason !== null);
  const usage = bodies.findLast((body) => body.usage)?.usage;
  assert.ok(last !== undefined && usage, 'a response has an end and a usage');
  const scored = choices.flatMap(({ logprobs }) => (logprobs === null ? [] : [logprobs]));
  return {
    text: choices.map(({ text }) => text).join(''),
    finishReason: last.finish_reason ?? '',
    stopReason: last.stop_reason ?? null,
    tokens: scored.flatMap(({ tokens }) => tokens),
    logprobs: scored.flatMap((each) => each.token_logprobs),
    top: scored.flatMap((each) => each.top_logprobs),
    completionTokens: usage.completion_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    acceptedDrafts: usage.completion_tokens_details.accepted_prediction_tokens,
  };
}

/** Chunks and batches change the order of sums: ten times what float32 gives here. */
function near(actual: readonly number[], expected: readonly number[], name: string): void {
  assert.equal(actual.length, expected.length, name);
  for (const [i, value] of actual.entries()) {
    const wanted = expected[i] ?? Number.NaN;
    assert.ok(Math.abs(value - wanted) < 1e-4, `${name}: ${value} for ${wanted}`);
  }
}
