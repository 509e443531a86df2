/** Asks for one reply and tells of it as actions of the conversation, to its end. */
import { asChatChunk, type ChatChunk, type ReplyRequest, type TextChunk } from './chatRequest.ts';
import type { ChatAction } from './conversation.ts';
import { EventReader } from './eventReader.ts';

export interface ReplyCall {
  readonly id: number;
  readonly request: ReplyRequest;
  readonly signal: AbortSignal;
  readonly fetch: typeof globalThis.fetch;
  readonly dispatch: (action: ChatAction) => void;
}

/** Never throws: what goes wrong is an action. An abort is the caller's own and tells nothing. */
export async function streamReply(call: ReplyCall): Promise<void> {
  const { id, signal, dispatch } = call;
  try {
    const response = await call.fetch(call.request.path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(call.request.body),
      signal,
    });
    if (!response.ok || response.body === null) {
      dispatch({ kind: 'fail', id, message: await refusalOf(response) });
      return;
    }
    const isText = call.request.path === '/v1/completions';
    await readChunks(response.body, (told) => {
      const chunk = isText ? asChatChunk(told as TextChunk) : (told as ChatChunk);
      dispatch({ kind: 'chunk', id, chunk });
    });
    if (!signal.aborted) dispatch({ kind: 'finish', id });
  } catch (error) {
    if (signal.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    dispatch({ kind: 'fail', id, message });
  }
}

async function readChunks(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: ChatChunk | TextChunk) => void,
): Promise<void> {
  const events = new EventReader();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const data of events.feed(decoder.decode(value, { stream: true }))) {
      if (data !== '[DONE]') onChunk(JSON.parse(data) as ChatChunk | TextChunk);
    }
  }
}

/** In the server's words with its hint, else the status. */
async function refusalOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string; hint?: string | null } };
    const { message, hint } = error ?? {};
    if (message !== undefined) return hint ? `${message}. ${hint}` : message;
  } catch {
    // No JSON: the status says what there is.
  }
  return `HTTP ${response.status}`;
}
