/**
 * `moebius chat`: a conversation on the terminal, by the model's own chat template. Each answer
 * streams as it is decided; /reset forgets, /exit leaves, Ctrl-C stops an answer.
 */
import { createInterface } from 'node:readline/promises';
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import { acceptanceRate } from '../../serving/generate.ts';
import { type ChatMessage, ChatTemplate, encodeChat } from '../../tokenizer/chatTemplate.ts';
import { openGenerator } from '../openGenerator.ts';
import { describeError, note, print } from '../output.ts';
import { numDrafts, type SamplingOptions, samplingOf, timedGeneration } from './generate.ts';

export interface ChatOptions extends SamplingOptions {
  readonly checkpoint: string;
  readonly system?: string;
  readonly maxTokens: number;
  readonly speculate?: number | true;
  readonly kernels?: string;
}

export async function chat(options: ChatOptions): Promise<void> {
  const { generator, tokenizer, tokenizerConfig, machine } = await openGenerator({
    ...options,
    note,
  });
  const template = new ChatTemplate(tokenizerConfig);
  const opening: ChatMessage[] =
    options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  let messages = [...opening];
  let seed = options.seed;
  print(`${options.checkpoint} on ${machine.description}. /reset forgets, /exit leaves.`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (;;) {
      const line = await ask(terminal);
      if (line === null || line === '/exit') return;
      if (line === '') continue;
      if (line === '/reset') {
        messages = [...opening];
        continue;
      }
      const asked: ChatMessage[] = [...messages, { role: 'user', content: line }];
      try {
        const run = await timedGeneration(
          generator,
          {
            prompt: encodeChat(tokenizer, template, asked),
            maxTokens: options.maxTokens,
            sampling: { ...samplingOf(options), seed: seed++ },
            numDrafts: numDrafts(options.speculate),
          },
          (text) => process.stdout.write(text),
        );
        const rate = acceptanceRate(run.summary);
        const drafts = run.summary.numDrafted > 0 ? `, ${formatPercent(rate)} of drafts` : '';
        print(`\n[${run.summary.numTokens} tokens, ${run.tokensPerSecond.toFixed(1)}/s${drafts}]`);
        messages = [...asked, { role: 'assistant', content: run.text }];
      } catch (error) {
        if (!(error instanceof MoebiusError)) throw error;
        // A full context ends an answer, not the conversation.
        print(`\n${describeError(error)}`);
      }
    }
  } finally {
    terminal.close();
  }
}

/** A line, or null at the end of the input. */
async function ask(terminal: ReturnType<typeof createInterface>): Promise<string | null> {
  const ended = new Promise<null>((resolve) => terminal.once('close', () => resolve(null)));
  const line = await Promise.race([terminal.question('> '), ended]);
  return line === null ? null : line.trim();
}
