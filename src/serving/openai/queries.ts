/** Requests that are answered at once, without the engine: models, tokens, templates. */
import { z } from 'zod';
import { type Message, messagesSchema } from './chatMessages.ts';
import { chatPrompt } from './chatPrompt.ts';
import { checkModel, modelNotFound } from './engineRequests.ts';
import { numMessageTokens } from './messagesRequest.ts';
import { refuseOverlong } from './promptLength.ts';
import type { ProtocolContext } from './protocol.ts';
import { asProtocolError, invalid } from './protocolError.ts';
import { bodyReader, type FieldSchemas, type Maybe } from './readBody.ts';
import { checkId } from './samplingFields.ts';
import { readThinking, THINKING_FIELDS, type ThinkingFields } from './thinkingFields.ts';
import { readTools, TOOL_FIELDS, type ToolFields } from './toolFields.ts';

/** `GET /v1/models` */
export function listModels(context: ProtocolContext): object {
  const names = [context.modelId, ...context.aliases];
  return { object: 'list', data: names.map((name) => modelObject(name, context)) };
}

/** `GET /v1/models/{id}` @throws ProtocolError 404 */
export function describeModel(id: string, context: ProtocolContext): object {
  if (id !== context.modelId && !context.aliases.includes(id)) throw modelNotFound(id, context);
  return modelObject(id, context);
}

function modelObject(id: string, { modelId, created, info }: ProtocolContext): object {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'moebius',
    root: modelId,
    parent: null,
    max_model_len: info.maxContext,
  };
}

interface TokenizeFields extends ThinkingFields, ToolFields {
  readonly model: Maybe<string>;
  /** vLLM's name, and llama.cpp's. */
  readonly prompt: Maybe<string>;
  readonly content: Maybe<string>;
  readonly messages: Maybe<readonly Message[]>;
  readonly add_special_tokens: Maybe<boolean>;
  readonly add_special: Maybe<boolean>;
  readonly add_generation_prompt: Maybe<boolean>;
  readonly continue_final_message: Maybe<boolean>;
  readonly return_token_strs: Maybe<boolean>;
  readonly with_pieces: Maybe<boolean>;
}

const flag = z.boolean().nullish();

const TOKENIZE_FIELDS: FieldSchemas<TokenizeFields> = {
  model: z.string().nullish(),
  prompt: z.string().nullish(),
  content: z.string().nullish(),
  messages: messagesSchema.nullish(),
  ...THINKING_FIELDS,
  ...TOOL_FIELDS,
  add_special_tokens: flag,
  add_special: flag,
  add_generation_prompt: flag,
  continue_final_message: flag,
  return_token_strs: flag,
  with_pieces: flag,
};

const readTokenize = bodyReader(TOKENIZE_FIELDS);

/** `POST /tokenize`: a prompt, or the messages of a chat. @throws ProtocolError 400 */
export function tokenize(body: unknown, context: ProtocolContext): object {
  const fields = readTokenize(body);
  const { tokenizer } = context;
  const tokens = [...tokenizeIds(fields, context)];
  const strings = fields.return_token_strs
    ? { token_strs: tokens.map((id) => tokenizer.idToToken(id) ?? '') }
    : {};
  const pieces = tokens.map((id) => ({ id, piece: tokenizer.decode([id]) }));
  return {
    count: tokens.length,
    max_model_len: context.info.maxContext,
    tokens: fields.with_pieces ? pieces : tokens,
    ...strings,
  };
}

/** The tokens of a body that `tokenize` reads. @throws ProtocolError 400 */
export function promptIds(body: unknown, context: ProtocolContext): Int32Array {
  return tokenizeIds(readTokenize(body), context);
}

function tokenizeIds(fields: TokenizeFields, context: ProtocolContext): Int32Array {
  checkModel(fields.model, context);
  if (fields.messages != null) return chatIds(fields, fields.messages, context);
  const text = fields.prompt ?? fields.content;
  if (text == null) {
    throw invalid('prompt', 'there is nothing to cut into tokens', {
      hint: 'Send prompt or messages.',
    });
  }
  refuseOverlong([text], 'prompt', context);
  // vLLM adds BOS unless told otherwise, llama.cpp only if told.
  const adds = fields.add_special_tokens ?? fields.add_special ?? fields.prompt != null;
  return context.tokenizer.encode(text, { addSpecialTokens: adds ? context.beginning : 'none' });
}

function chatIds(
  fields: TokenizeFields,
  messages: readonly Message[],
  context: ProtocolContext,
): Int32Array {
  const { tools } = readTools(fields);
  const continues = fields.continue_final_message ? 'lastMessage' : 'newTurn';
  try {
    return chatPrompt(
      {
        messages,
        tools,
        thinking: readThinking(fields),
        continues: fields.add_generation_prompt === false ? 'nothing' : continues,
      },
      context,
    ).ids;
  } catch (error) {
    throw asProtocolError(error);
  }
}

/** `POST /apply-template`: the text of a prompt. @throws ProtocolError 400 */
export function applyTemplate(body: unknown, context: ProtocolContext): object {
  const fields = readTokenize(body);
  checkModel(fields.model, context);
  if (fields.messages == null) {
    throw invalid('messages', 'there are no messages', { hint: 'Send messages.' });
  }
  return { prompt: context.tokenizer.decode(chatIds(fields, fields.messages, context)) };
}

interface DetokenizeFields {
  readonly model: Maybe<string>;
  readonly tokens: readonly number[];
}

const DETOKENIZE_FIELDS: FieldSchemas<DetokenizeFields> = {
  model: z.string().nullish(),
  tokens: z.array(z.int().min(0)),
};

const readDetokenize = bodyReader(DETOKENIZE_FIELDS);

/** `POST /detokenize`: vLLM's `prompt` and llama.cpp's `content`. @throws ProtocolError 400 */
export function detokenize(body: unknown, context: ProtocolContext): object {
  const { model, tokens } = readDetokenize(body);
  checkModel(model, context);
  for (const id of tokens) checkId(id, 'tokens', context);
  try {
    const text = context.tokenizer.decode(tokens);
    return { prompt: text, content: text };
  } catch (error) {
    throw asProtocolError(error);
  }
}

/** `POST /v1/messages/count_tokens`, Anthropic's. @throws ProtocolError 400 */
export function countTokens(body: unknown, context: ProtocolContext): object {
  try {
    return { input_tokens: numMessageTokens(body, context) };
  } catch (error) {
    throw asProtocolError(error);
  }
}
