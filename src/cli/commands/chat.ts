/**
 * `moebius chat`: a conversation on the terminal, with a checkpoint by the model's own chat
 * template, or with a running server. Each answer streams as it is decided; /reset forgets, /exit
 * leaves, Ctrl-C stops an answer.
 */
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import { acceptanceRate } from '../../serving/generate.ts';
import { type ChatMessage, ChatTemplate, encodeChat } from '../../tokenizer/chatTemplate.ts';
import { openRemote, remoteReply } from '../chat/remoteReply.ts';
import { formatNow } from '../formatNow.ts';
import { type OpenedGenerator, openGenerator } from '../openGenerator.ts';
import { describeError, note, print } from '../output.ts';
import { numDrafts, type SamplingOptions, samplingOf, timedGeneration } from './generate.ts';

export interface ChatOptions extends SamplingOptions {
  /** This or `url`. */
  readonly checkpoint?: string;
  readonly url?: string;
  readonly apiKey?: string;
  /** The model's name at the server. */
  readonly name?: string;
  readonly system?: string;
  readonly maxTokens: number;
  readonly speculate?: number | true;
  readonly kernels?: string;
}

/** Whom one talks with. */
interface Partner {
  readonly description: string;
  /** @returns the answer, or null where there was none: the conversation goes on */
  reply(asked: Asked): Promise<string | null>;
}

interface Asked {
  readonly messages: readonly ChatMessage[];
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** @throws chat.option */
export async function chat(options: ChatOptions): Promise<void> {
  const partner = await openPartner(options);
  const opening: ChatMessage[] =
    options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  let messages = [...opening];
  let seed = options.seed;
  print(`${partner.description}. /reset forgets, /exit leaves.`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' });
  // An iterator keeps the lines that come during an answer, from a pipe above all.
  const lines = terminal[Symbol.asyncIterator]();
  let isClosed = false;
  terminal.on('close', () => {
    isClosed = true;
  });
  let answer: AbortController | null = null;
  terminal.on('SIGINT', () => {
    if (answer === null) terminal.close();
    else answer.abort();
  });
  try {
    for (;;) {
      if (!isClosed) terminal.prompt();
      const { done, value } = await lines.next();
      const line = done === true ? '/exit' : value.trim();
      if (line === '/exit') return;
      if (line === '') continue;
      if (line === '/reset') {
        messages = [...opening];
        continue;
      }
      const asked: ChatMessage[] = [...messages, { role: 'user', content: line }];
      answer = new AbortController();
      const text = await partner.reply({ messages: asked, seed: seed++, signal: answer.signal });
      answer = null;
      if (text !== null) messages = [...asked, { role: 'assistant', content: text }];
    }
  } finally {
    terminal.close();
  }
}

async function openPartner(options: ChatOptions): Promise<Partner> {
  const { checkpoint, url } = options;
  if ((checkpoint === undefined) === (url === undefined)) {
    throw optionError('--checkpoint or --url', 'is who to talk with: one of the two');
  }
  const { apiKey, name, kernels, speculate } = options;
  const foreign =
    url === undefined
      ? { '--api-key': apiKey, '--name': name }
      : { '--kernels': kernels, '--speculate': speculate };
  for (const [option, value] of Object.entries(foreign)) {
    if (value === undefined) continue;
    throw optionError(option, `is not for ${url === undefined ? 'a checkpoint' : 'a server'}`);
  }
  if (url !== undefined) {
    const remote = { ...options, url };
    const server = await openRemote(remote);
    return {
      description: `${server.model.name} at ${server.model.base.origin}`,
      reply: (asked) => remoteReply(server, remote, asked),
    };
  }
  const opened = await openGenerator({
    ...options,
    checkpoint: checkpoint ?? '',
    note,
    until: 'firstToken',
  });
  const template = new ChatTemplate(opened.tokenizerConfig);
  return {
    description: `${checkpoint} on ${opened.machine.description}`,
    reply: ({ messages, ...asked }) =>
      reply(opened, options, {
        ...asked,
        prompt: encodeChat(opened.tokenizer, template, messages, { formatNow }),
      }),
  };
}

function optionError(option: string, why: string): MoebiusError {
  return new MoebiusError('chat.option', `${option} ${why}`, {
    values: { option },
    hint: 'Give --checkpoint DIR for a model here, or --url URL for a running server.',
  });
}

async function reply(
  { generator }: OpenedGenerator,
  options: ChatOptions,
  { prompt, seed, signal }: { prompt: Int32Array; seed: number; signal: AbortSignal },
): Promise<string | null> {
  const request = {
    prompt,
    maxTokens: options.maxTokens,
    sampling: { ...samplingOf(options), seed },
    numDrafts: numDrafts(options.speculate),
    signal,
  };
  try {
    const run = await timedGeneration(generator, request, async (text) => {
      process.stdout.write(text);
      // Kernels leave the event loop no turn of its own, and Ctrl-C would come too late.
      await setImmediate();
    });
    const rate = acceptanceRate(run.summary);
    const drafts = run.summary.numDrafted > 0 ? `, ${formatPercent(rate)} of drafts` : '';
    print(`\n[${run.summary.numTokens} tokens, ${run.tokensPerSecond.toFixed(1)}/s${drafts}]`);
    return run.text;
  } catch (error) {
    if (!(error instanceof MoebiusError)) throw error;
    print(`\n${describeError(error)}`);
    return null;
  }
}
