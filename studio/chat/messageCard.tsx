/** One message of the chat: what the user said, with its editor, or a reply with what it told. */
import type { ComponentChildren, JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { ChatAction, Message, Reply, UserMessage } from './conversation.ts';
import { ReplyText, type Say } from './replyText.tsx';
import { markOf, speedOf, tokenPieces } from './tokenPieces.ts';

interface Properties {
  readonly message: Message;
  /** Whether nothing is on its way, so that messages may change. */
  readonly mode: 'idle' | 'replying';
  /** What a reply waits for before it can begin; null: for nothing. */
  readonly waiting: string | null;
  readonly say: Say;
  readonly dispatch: (action: ChatAction) => void;
}

/** Drawn again only when its own message changed, not with every token of another. */
export function MessageCard({ message, mode, waiting, say, dispatch }: Properties): JSX.Element {
  return useMemo(
    () =>
      message.role === 'user' ? (
        <UserCard message={message} mode={mode} say={say} dispatch={dispatch} />
      ) : (
        <ReplyCard reply={message} waiting={waiting} say={say} />
      ),
    [message, mode, waiting, say, dispatch],
  );
}

function UserCard({
  message,
  mode,
  say,
  dispatch,
}: Omit<Properties, 'waiting'> & { readonly message: UserMessage }): JSX.Element {
  const [draft, setDraft] = useState<string | null>(null);
  const save = (event: Event): void => {
    event.preventDefault();
    dispatch({ kind: 'edit', id: message.id, text: draft ?? '' });
    setDraft(null);
  };
  return (
    <Frame name={say('you')} who="user">
      {draft === null ? (
        <>
          <div class="text">{message.content}</div>
          <div class="deeds">
            <CopyButton text={message.content} say={say} />
            <button
              type="button"
              disabled={mode === 'replying'}
              onClick={() => setDraft(message.content)}
            >
              {say('edit')}
            </button>
          </div>
        </>
      ) : (
        <form onSubmit={save}>
          <textarea
            aria-label={say('edit')}
            rows={3}
            value={draft}
            onInput={(event) => setDraft(event.currentTarget.value)}
          />
          <div class="row">
            <button type="submit" class="primary" disabled={mode === 'replying'}>
              {say('save')}
            </button>
            <button type="button" onClick={() => setDraft(null)}>
              {say('cancel')}
            </button>
          </div>
        </form>
      )}
    </Frame>
  );
}

interface ReplyProperties {
  readonly reply: Reply;
  readonly say: Say;
}

function ReplyCard({
  reply,
  waiting,
  say,
}: ReplyProperties & Pick<Properties, 'waiting'>): JSX.Element {
  const { content, reasoning, tokens, reasoningTokens } = reply;
  const isStreaming = reply.state.kind === 'streaming';
  const hasDrafts = tokenPieces(content, tokens).some((piece) => markOf(piece) === 'drafted');
  return (
    <Frame name={say('model')} who="assistant" state={reply.state.kind}>
      {reasoning !== '' && (
        <details open={isStreaming && content === ''}>
          <summary>{say('thinking')}</summary>
          <ReplyText text={reasoning} tokens={reasoningTokens} say={say} />
        </details>
      )}
      {content !== '' && <ReplyText text={content} tokens={tokens} say={say} />}
      <StateLine reply={reply} waiting={waiting} say={say} />
      {!isStreaming && content !== '' && (
        <div class="deeds">
          <CopyButton text={content} say={say} />
        </div>
      )}
      <Speed reply={reply} say={say} />
      {hasDrafts && <p class="muted">{say('draftLegend')}</p>}
    </Frame>
  );
}

function StateLine({
  reply,
  waiting,
  say,
}: ReplyProperties & Pick<Properties, 'waiting'>): JSX.Element | null {
  const { state } = reply;
  switch (state.kind) {
    case 'streaming':
      return <p class="muted writing">{waiting || say('writing')}</p>;
    case 'stopped':
      return <p class="muted">{say('stopped')}</p>;
    case 'cut':
      return <p role="alert">{say('cut')}</p>;
    case 'failed':
      return (
        <p role="alert" class="bad">
          {say('failed', { reason: state.message })}
        </p>
      );
    case 'done':
      return state.reason === 'length' ? <p class="muted">{say('length')}</p> : null;
    default:
      return state satisfies never;
  }
}

const COPIED_MS = 1500;

function CopyButton({ text, say }: { readonly text: string; readonly say: Say }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    // Refused (no permission): it says nothing was copied by saying nothing.
    <button type="button" onClick={() => void copy().catch(() => {})}>
      {say(isCopied ? 'copied' : 'copy')}
    </button>
  );
}

function Speed({ reply, say }: ReplyProperties): JSX.Element | null {
  if (reply.usage === null && reply.timings === null) return null;
  const speed = speedOf(reply);
  const parts: string[] = [];
  if (speed.tokens !== null) parts.push(say('tokens', { count: speed.tokens }));
  if (speed.tokensPerSecond !== null) {
    parts.push(say('speed', { speed: speed.tokensPerSecond.toFixed(1) }));
  }
  if (speed.promptTokens !== null && speed.firstTokenSeconds !== null) {
    const seconds = speed.firstTokenSeconds.toFixed(2);
    parts.push(say('prompt', { count: speed.promptTokens, seconds }));
  }
  const { accepted, drafted, acceptance } = speed;
  const percent = acceptance === null ? '' : (100 * acceptance).toFixed(0);
  parts.push(
    acceptance === null ? say('noDrafts') : say('acceptance', { accepted, drafted, percent }),
  );
  return <p class="muted speed">{parts.join(' · ')}</p>;
}

interface FrameProperties {
  readonly name: string;
  readonly who: Message['role'];
  readonly state?: string;
  readonly children: ComponentChildren;
}

function Frame({ name, who, state, children }: FrameProperties): JSX.Element {
  return (
    <article class={`message card ${who}`} data-state={state} aria-label={name}>
      <h2>{name}</h2>
      {children}
    </article>
  );
}
