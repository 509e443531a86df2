/**
 * `/v1/completions`, and `/beta/completions` of DeepSeek: a text is gone on with, or, with a
 * `suffix`, the gap before it is filled (FIM; DeepSeek-V3 report, 4.1).
 */
import { z } from 'zod';
import { FIM_BEGIN_TOKEN, FIM_END_TOKEN, FIM_HOLE_TOKEN } from '../../tokenizer/specialTokens.ts';
import { usageWish } from './chatRequest.ts';
import { CompletionsRenderer } from './completionsRenderer.ts';
import { checkModel, planRequests } from './engineRequests.ts';
import { markerId } from './markers.ts';
import { refuseOverlong } from './promptLength.ts';
import type { Caller, PreparedCall, ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import { bodyReader, type FieldSchemas, type Maybe } from './readBody.ts';
import {
  checkId,
  IGNORED_FIELDS,
  type IgnoredFields,
  MAX_TOP_TOKENS,
  readSettings,
  SAMPLING_FIELDS,
  type SamplingFields,
  topSettings,
} from './samplingFields.ts';
import { readStructure, STRUCTURE_FIELDS, type StructureFields } from './structureFields.ts';

type Prompt = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

interface CompletionsFields extends SamplingFields, StructureFields, IgnoredFields {
  readonly model: Maybe<string>;
  readonly prompt: Prompt;
  readonly suffix: Maybe<string>;
  readonly echo: Maybe<boolean>;
  readonly logprobs: Maybe<number>;
  readonly return_drafted: Maybe<boolean>;
  readonly add_special_tokens: Maybe<boolean>;
  readonly skip_special_tokens: Maybe<boolean>;
}

const ids = z.array(z.int().min(0)).min(1);
const flag = z.boolean().nullish();

const FIELDS: FieldSchemas<CompletionsFields> = {
  model: z.string().nullish(),
  prompt: z.union([z.string(), z.array(z.string()).min(1), ids, z.array(ids).min(1)]),
  ...SAMPLING_FIELDS,
  ...STRUCTURE_FIELDS,
  ...IGNORED_FIELDS,
  suffix: z.string().nullish(),
  echo: flag,
  logprobs: z.int().min(0).max(MAX_TOP_TOKENS).nullish(),
  return_drafted: flag,
  add_special_tokens: flag,
  skip_special_tokens: flag,
};

const readBody = bodyReader(FIELDS);

/** @throws ProtocolError */
export function prepareCompletions(
  body: unknown,
  context: ProtocolContext,
  caller: Caller,
): PreparedCall {
  const fields = readBody(body);
  checkModel(fields.model, context);
  if (fields.echo && fields.logprobs != null) {
    throw invalid('echo', 'log probabilities of prompts are not computed', {
      hint: 'Leave out echo or logprobs.',
    });
  }
  if (fields.return_drafted && fields.logprobs == null) {
    throw invalid('return_drafted', 'return_drafted needs logprobs', {
      hint: 'Set logprobs to a number.',
    });
  }
  const prompts = encodePrompts(fields, context);
  const spec = readStructure(fields);
  const numTop = fields.logprobs ?? null;
  const isShown = fields.skip_special_tokens === false;
  const id = `cmpl-${context.randomId()}`;
  const plan = planRequests(
    {
      id,
      prompts: prompts.map((prompt) => prompt.ids),
      fields,
      settings: {
        ...readSettings(fields, context),
        ...(isShown ? { showsSpecial: true } : {}),
        ...(spec === null ? {} : { grammar: { spec, afterId: null } }),
        ...topSettings(numTop, context),
      },
      maxTokens: fields.max_tokens ?? null,
      maxTokensParam: 'max_tokens',
      promptParam: 'prompt',
    },
    context,
    caller,
  );
  return {
    ...plan,
    isStreaming: fields.stream ?? false,
    endsWithDone: true,
    renderer: new CompletionsRenderer({
      id,
      context,
      outputs: plan.outputs,
      parser: null,
      special: isShown ? 'shown' : 'skipped',
      callIdPrefix: 'call_',
      numTop,
      tokenNames: fields.return_tokens_as_token_ids ? 'ids' : 'text',
      drafts: fields.return_drafted ? 'shown' : 'hidden',
      usage: usageWish(fields),
      echoes: fields.echo ? prompts.map((prompt) => prompt.text) : null,
    }),
  };
}

interface EncodedPrompt {
  readonly ids: Int32Array;
  /** As it is echoed. */
  readonly text: string;
}

function encodePrompts(
  fields: CompletionsFields,
  context: ProtocolContext,
): readonly EncodedPrompt[] {
  const { prompt, suffix } = fields;
  const list = promptList(prompt);
  return list.map((each, i) => {
    const param = list.length === 1 ? 'prompt' : `prompt[${i}]`;
    if (typeof each !== 'string') {
      for (const id of each) checkId(id, param, context);
      if (suffix != null) {
        throw invalid('suffix', 'a suffix goes with a prompt in words', {
          hint: 'Send the prompt as text, or write the FIM tokens into it.',
        });
      }
      return { ids: Int32Array.from(each), text: context.tokenizer.decode(each) };
    }
    refuseOverlong([each, suffix ?? ''], param, context);
    if (suffix != null) return { ids: fillMiddle({ prefix: each, suffix }, context), text: each };
    const addSpecialTokens = fields.add_special_tokens === false ? 'none' : context.beginning;
    return { ids: context.tokenizer.encode(each, { addSpecialTokens }), text: each };
  });
}

function promptList(prompt: Prompt): readonly (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt];
  const isIds = prompt.every((each) => typeof each === 'number');
  return isIds ? [prompt as readonly number[]] : (prompt as readonly (string | number[])[]);
}

/** Prefix, suffix, middle: the order of training. */
function fillMiddle(
  parts: { readonly prefix: string; readonly suffix: string },
  { tokenizer, beginning }: ProtocolContext,
): Int32Array {
  const marks = [FIM_BEGIN_TOKEN, FIM_HOLE_TOKEN, FIM_END_TOKEN];
  const [begin, hole, end] = marks.map((each) => markerId(tokenizer, each));
  if (begin === undefined || hole === undefined || end === undefined) {
    throw invalid('suffix', 'the tokenizer has no FIM tokens, so no gap can be filled', {
      hint: 'Leave suffix out, or load a model that was trained to fill gaps.',
    });
  }
  const encode = (text: string): Int32Array => tokenizer.encode(text, { addedTokens: 'text' });
  return Int32Array.from([
    ...tokenizer.encode('', { addSpecialTokens: beginning }),
    begin,
    ...encode(parts.prefix),
    hole,
    ...encode(parts.suffix),
    end,
  ]);
}
