/** The chat: a checkpoint answers through the real server, and what it tells of tokens is shown. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useReducer, useRef } from 'preact/hooks';
import { useLanguage, wordsOf } from '../app/language.ts';
import type { ViewProperties } from '../app/router.ts';
import { readStored, writeStored } from '../app/stored.ts';
import './chat.css';
import { type Manner, replyRequest } from './chatRequest.ts';
import { CheckpointPicker, stateText } from './checkpointPicker.tsx';
import { Composer } from './composer.tsx';
import {
  type ChatAction,
  type Conversation,
  converse,
  keep,
  recall,
  replying,
  type TextStore,
  turnsBefore,
} from './conversation.ts';
import { EmptyChat } from './emptyChat.tsx';
import { MessageCard } from './messageCard.tsx';
import { messages } from './messages.ts';
import type { Say } from './replyText.tsx';
import { type Serving, useServing } from './serving.ts';
import { SettingsPanel } from './settingsPanel.tsx';
import { streamReply } from './streamReply.ts';

const STORE: TextStore = {
  read: () => readStored('chat'),
  write: (text) => writeStored('chat', text),
};

/** Between two writes of the history while a reply comes. */
const KEEP_MS = 1000;

/** So far above the end one still follows it. */
const NEAR_PX = 160;

type Dispatch = (action: ChatAction) => void;

export function View({ parameters, setParameters }: ViewProperties): JSX.Element {
  const language = useLanguage();
  const say = useMemo(() => wordsOf(messages, language), [language]);
  const [state, dispatch] = useReducer(converse, null, () => recall(STORE));
  const serving = useServing(parameters.checkpoint);
  const manner = mannerOf(state.settings.manner, serving);
  useReplies(state, { serving, manner, dispatch });
  useKeeping(state);
  const mode = replying(state) === null ? 'idle' : 'replying';
  const numMessages = state.messages.length;
  useFollowedEnd(state, mode);
  const pick = (checkpoint: string): void => {
    // Its words would go on in another model's.
    dispatch({ kind: 'stop' });
    setParameters({ checkpoint });
    serving.serve(checkpoint);
  };
  const send = (text: string): void => dispatch({ kind: 'send', text });
  return (
    <section
      class="chat-view"
      aria-labelledby="chat-title"
      onKeyDown={(event) => {
        if (event.key === 'Escape' && mode === 'replying') dispatch({ kind: 'stop' });
      }}
    >
      <div class="top">
        <h1 id="chat-title">{say('title')}</h1>
        <CheckpointPicker serving={serving} say={say} onPick={pick} />
        <MannerSwitch
          manner={manner}
          say={say}
          onPick={(next) => dispatch({ kind: 'set', settings: { manner: next } })}
        />
        <SettingsPanel
          settings={state.settings}
          manner={manner}
          say={say}
          onChange={(settings) => dispatch({ kind: 'set', settings })}
        />
      </div>
      {numMessages === 0 && (
        <EmptyChat serving={serving} manner={manner} say={say} onPick={pick} onSend={send} />
      )}
      {/* Not live: a reply is read out below when it is whole, and not token by token. */}
      <div
        class="messages"
        role="log"
        aria-live="off"
        aria-label={say('history')}
        aria-busy={mode === 'replying'}
      >
        {state.messages.map((message) => (
          <MessageCard
            key={message.id}
            message={message}
            mode={mode}
            waiting={serving.state?.kind === 'ready' ? null : stateText(serving.state, say)}
            say={say}
            dispatch={dispatch}
          />
        ))}
      </div>
      <p class="hidden-text" role="status">
        {announcement(state, say)}
      </p>
      <Composer
        mode={mode}
        manner={manner}
        answers={serving.checkpoints?.length === 0 ? 'nobody' : 'somebody'}
        hasHistory={numMessages > 0}
        say={say}
        onSend={send}
        dispatch={dispatch}
      />
    </section>
  );
}

/** As chosen, or as the checkpoint that answers was trained. */
function mannerOf(chosen: Manner | 'auto', { checkpoints, state }: Serving): Manner {
  if (chosen !== 'auto') return chosen;
  const id = state === null || state.kind === 'none' ? undefined : state.checkpoint;
  const answering = checkpoints?.find((each) => each.id === id) ?? checkpoints?.[0];
  return answering?.speaks ?? 'chat';
}

function announcement({ messages: all }: Conversation, say: Say): string {
  const last = all.at(-1);
  if (last?.role !== 'assistant') return '';
  if (last.state.kind === 'streaming') return say('writing');
  return say('replyEnded', { text: last.content });
}

interface SwitchProperties {
  readonly manner: Manner;
  readonly say: Say;
  readonly onPick: (manner: Manner) => void;
}

function MannerSwitch({ manner, say, onPick }: SwitchProperties): JSX.Element {
  return (
    <fieldset class="manner">
      <legend class="hidden-text">{say('manner')}</legend>
      {(['text', 'chat'] as const).map((each) => (
        <label key={each} class={each === manner ? 'chosen' : undefined}>
          <input
            type="radio"
            name="manner"
            checked={each === manner}
            onChange={() => onPick(each)}
          />
          {say(each === 'text' ? 'mannerText' : 'mannerChat')}
        </label>
      ))}
    </fieldset>
  );
}

/** The end of the conversation, kept in sight, but not for who scrolled up to read. */
function useFollowedEnd({ messages: all }: Conversation, mode: 'idle' | 'replying'): void {
  const isFollowed = useRef(true);
  useEffect(() => {
    // A page that grows does not scroll by itself, so this is what a reader did, or we.
    const onScroll = (): void => {
      const { scrollHeight } = document.documentElement;
      isFollowed.current = scrollHeight - innerHeight - scrollY < NEAR_PX;
    };
    addEventListener('scroll', onScroll, { passive: true });
    return () => removeEventListener('scroll', onScroll);
  }, []);
  useEffect(() => {
    if (all.length > 0) scrollToEnd();
  }, [all.length]);
  useEffect(() => {
    if (mode === 'replying' && isFollowed.current) scrollToEnd();
  }, [all]);
  useEffect(() => {
    // The end of a reply has a line on its speed.
    if (mode === 'idle' && all.length > 0 && isFollowed.current) scrollToEnd();
  }, [mode]);
}

function scrollToEnd(): void {
  scrollTo({ top: document.documentElement.scrollHeight });
}

/**
 * Asks once a reply is awaited and the checkpoint is there: who sends before it has loaded waits
 * for it. Where the reply is no longer awaited, or the view closes, it is aborted.
 */
function useReplies(
  state: Conversation,
  { serving, manner, dispatch }: { serving: Serving; manner: Manner; dispatch: Dispatch },
): void {
  const id = replying(state)?.id ?? null;
  const { state: served, checkpoints, serve, reason } = serving;
  const kind = served?.kind;
  const newest = checkpoints?.[0];
  useEffect(() => {
    if (id === null) return;
    if (kind === 'none' && newest !== undefined) serve(newest.id);
    if (served?.kind === 'failed') dispatch({ kind: 'fail', id, message: served.error.message });
    if (kind === undefined && reason !== null) dispatch({ kind: 'fail', id, message: reason });
  }, [id, kind, newest?.id, reason]);
  useEffect(() => {
    if (id === null || kind !== 'ready') return;
    const aborting = new AbortController();
    const { signal } = aborting;
    const request = replyRequest(turnsBefore(state, id), state.settings, manner);
    const ask: typeof fetch = (...call) => fetch(...call);
    void streamReply({ id, request, signal, dispatch, fetch: ask });
    return () => aborting.abort();
  }, [id, kind]);
}

/** Keeps at once what stands still, a moving reply once a second, and all of it at the end. */
function useKeeping(state: Conversation): void {
  const newest = useRef(state);
  newest.current = state;
  const isMoving = replying(state) !== null;
  useEffect(() => {
    if (!isMoving) keep(STORE, state);
  }, [state, isMoving]);
  useEffect(() => {
    if (!isMoving) return;
    const timer = setInterval(() => keep(STORE, newest.current), KEEP_MS);
    return () => clearInterval(timer);
  }, [isMoving]);
  useEffect(() => {
    const now = (): void => keep(STORE, newest.current);
    addEventListener('pagehide', now);
    return () => {
      removeEventListener('pagehide', now);
      now();
    };
  }, []);
}
