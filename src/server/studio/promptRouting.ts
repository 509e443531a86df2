/** A prompt of the page's: cut into tokens, sent through the gates, told token by token. */
import { at } from '../../base/assert.ts';
import type { EngineClient } from '../../serving/engineClient.ts';
import type { ProtocolContext } from '../../serving/openai/protocol.ts';
import { promptIds } from '../../serving/openai/queries.ts';
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { PromptRouting, RoutedToken } from './wire.ts';

/** What is served now, ready to be asked. */
export interface ReadyEngine {
  readonly checkpoint: string;
  readonly client: EngineClient;
  readonly context: ProtocolContext;
}

/**
 * @param body as of `POST /tokenize`
 * @throws ProtocolError 400 for the body; what `EngineClient.routePrompt` refuses
 */
export async function routedPrompt(
  body: unknown,
  { checkpoint, client, context }: ReadyEngine,
): Promise<PromptRouting> {
  const ids = promptIds(body, context);
  const { layers, expertsPerToken } = await client.routePrompt(ids);
  const rowsOf = (values: Int32Array | Float32Array): number[][] =>
    Array.from(ids, (_, token) =>
      Array.from(
        values.subarray(token * expertsPerToken, (token + 1) * expertsPerToken),
        // All that is in a float of 32 bits, and no more.
        (value) => Number(value.toPrecision(9)),
      ),
    );
  return {
    checkpoint,
    tokens: Array.from(ids, (id) => tokenOf(id, context.tokenizer)),
    numExperts: context.info.numRoutedExperts,
    expertsPerToken,
    layers: layers.map(({ layer }) => layer),
    experts: layers.map(({ experts }) => rowsOf(experts)),
    weights: layers.map(({ weights }) => rowsOf(weights)),
  };
}

/** Bytes that are no text by themselves (part of a character) are spelled `\xE4`. */
function tokenOf(id: number, tokenizer: Tokenizer): RoutedToken {
  const bytes = tokenizer.tokenBytes(id);
  try {
    return { id, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    const spelled = Array.from(bytes, (_, i) => {
      return `\\x${at(bytes, i).toString(16).toUpperCase().padStart(2, '0')}`;
    });
    return { id, text: spelled.join(''), bytes: [...bytes] };
  }
}
