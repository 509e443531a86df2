/**
 * What the requests of a load ask: made-up ids, or the lines of a file in turns. By number, so that
 * a run can be repeated request by request.
 *
 * Made-up prompts are random ids, all of one length; a share of each may be the same for all, as a
 * system message is. Ids go as ids, so no tokenizer stands between what is asked and what is run.
 */
import { readFileSync } from 'node:fs';
import { at } from '../../../base/assert.ts';
import { MoebiusError } from '../../../base/errors.ts';
import { Random } from '../../../base/random.ts';

export type Prompt =
  | { readonly kind: 'ids'; readonly ids: readonly number[] }
  | { readonly kind: 'text'; readonly text: string }
  /** Fields of a body: a line of a JSON file. */
  | { readonly kind: 'body'; readonly body: Readonly<Record<string, unknown>> };

export type PromptSource = (index: number) => Prompt;

export function randomPrompts(args: {
  length: number;
  /** Of the length, the same in every prompt. */
  sharedShare: number;
  vocabSize: number;
  seed: number;
}): PromptSource {
  const { length, sharedShare, vocabSize, seed } = args;
  const numShared = Math.round(length * sharedShare);
  const draw = (stream: string, count: number): number[] => {
    const random = new Random(seed, stream);
    return Array.from({ length: count }, () => random.integer(vocabSize));
  };
  const shared = draw('shared prefix', numShared);
  return (index) => ({
    kind: 'ids',
    ids: [...shared, ...draw(`prompt ${index}`, length - numShared)],
  });
}

/**
 * The very prompts that `bench decode` gives its sequences, so that both decode the same tokens and
 * read the same experts.
 */
export function decodePrompts(args: {
  numSequences: number;
  length: number;
  vocabSize: number;
}): readonly (readonly number[])[] {
  const { numSequences, length, vocabSize } = args;
  const random = new Random(0, 'prompt');
  return Array.from({ length: numSequences }, () =>
    Array.from({ length }, () => random.integer(vocabSize)),
  );
}

/**
 * A prompt in every line, or, in a `.jsonl` file, an object: fields of the request, as
 * `{"prompt": …, "max_tokens": …}` or `{"messages": […]}`.
 *
 * @throws bench.prompts
 */
export function promptsOfFile(path: string): PromptSource {
  const lines = readFileSync(path, 'utf8').split(/\r?\n/);
  const isJson = path.endsWith('.jsonl');
  const prompts = lines.flatMap((line, i): Prompt[] => {
    if (line.trim() === '') return [];
    return [isJson ? bodyIn(line, { path, line: i + 1 }) : { kind: 'text', text: line }];
  });
  if (prompts.length === 0) {
    throw new MoebiusError('bench.prompts', `${path} has no prompts`, {
      values: { path },
      hint: 'Write a prompt in every line.',
    });
  }
  return (index) => at(prompts, ((index % prompts.length) + prompts.length) % prompts.length);
}

function bodyIn(text: string, where: { path: string; line: number }): Prompt {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (typeof body === 'object' && body !== null && ('prompt' in body || 'messages' in body)) {
    return { kind: 'body', body: body as Record<string, unknown> };
  }
  throw new MoebiusError('bench.prompts', 'a line is no object with a prompt or messages', {
    values: where,
    hint: 'Write {"prompt": "…"} or {"messages": […]} in every line.',
  });
}

/** Which endpoint a prompt is for, and its body without what is the same for all. */
export function bodyOfPrompt(
  prompt: Prompt,
  endpoint: 'completions' | 'chat',
): Readonly<Record<string, unknown>> {
  const isChat = endpoint === 'chat';
  switch (prompt.kind) {
    case 'ids':
      if (isChat) throw endpointError('random ids', 'completions');
      return { prompt: prompt.ids };
    case 'text':
      return isChat
        ? { messages: [{ role: 'user', content: prompt.text }] }
        : { prompt: prompt.text };
    case 'body':
      if (isChat !== 'messages' in prompt.body) {
        throw endpointError(isChat ? 'prompts' : 'messages', isChat ? 'completions' : 'chat');
      }
      return prompt.body;
    default:
      return prompt satisfies never;
  }
}

function endpointError(what: string, endpoint: string): MoebiusError {
  return new MoebiusError('bench.endpoint', `${what} go to the endpoint ${endpoint}`, {
    hint: `Give --endpoint ${endpoint}.`,
  });
}
