/**
 * Routing of a prompt: a text goes through the model that is served, and the page shows where the
 * gates sent its tokens. The prompt stands in the address; it is followed when one asks for it.
 */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { PromptRouting } from '../../src/server/studio/wire.ts';
import { fetchJson } from '../api/fetchJson.ts';
import { useWords } from '../app/language.ts';
import type { ViewProperties } from '../app/router.ts';
import { CheckpointPicker } from '../chat/checkpointPicker.tsx';
import { messages as chatMessages } from '../chat/messages.ts';
import { type Serving, useServing } from '../chat/serving.ts';
import { messages } from './messages.ts';
import { type Reading, routingBody } from './promptRoutes.ts';
import { isServing, PAGE_DOOR } from './readExperts.ts';
import './routing.css';
import { RoutingResult } from './routingResult.tsx';

/** A form that was sent before anything was loaded is told so; nothing is asked of the server. */
type Answer =
  | { readonly kind: 'none' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'told'; readonly routing: PromptRouting }
  | { readonly kind: 'notServed' }
  | { readonly kind: 'refused'; readonly reason: string };

export function RoutingSection({ parameters, setParameters }: ViewProperties): JSX.Element {
  const say = useWords(messages);
  const sayChat = useWords(chatMessages);
  const [text, setText] = useState(parameters.prompt ?? '');
  const serving = useServing(undefined);
  const reading = readingOf(parameters.reading, serving);
  const { answer, follow } = useAnswer();
  const submit = (): void => {
    if (text === '') return;
    setParameters({ prompt: text });
    follow(text, reading);
  };
  return (
    <section class="routing" aria-labelledby="routing-title">
      <h2 id="routing-title">{say('routing')}</h2>
      <p class="muted">{say('routingAbout')}</p>
      <CheckpointPicker serving={serving} say={sayChat} onPick={serving.serve} />
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <label for="routing-prompt">{say('prompt')}</label>
        <textarea
          id="routing-prompt"
          rows={2}
          value={text}
          placeholder={say('promptExample')}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            submit();
          }}
        />
        <div class="row">
          <label>
            {say('reading')}{' '}
            <select
              value={reading}
              onChange={(event) => setParameters({ reading: event.currentTarget.value })}
            >
              <option value="text">{say('readingText')}</option>
              <option value="chat">{say('readingChat')}</option>
            </select>
          </label>
          <button type="submit" class="primary" disabled={text === '' || answer.kind === 'asked'}>
            {say('follow')}
          </button>
          <span role="status">{answer.kind === 'asked' ? say('following') : ''}</span>
        </div>
      </form>
      {answer.kind === 'refused' && (
        <p role="alert" class="bad">
          {say('notFollowed', { reason: answer.reason })}
        </p>
      )}
      {answer.kind === 'notServed' && <p role="alert">{say('notServed')}</p>}
      {answer.kind === 'told' && <RoutingResult routing={answer.routing} say={say} />}
    </section>
  );
}

/** As chosen, or as the checkpoint that is served was trained. */
function readingOf(chosen: string | undefined, { checkpoints, state }: Serving): Reading {
  if (chosen === 'chat' || chosen === 'text') return chosen;
  const id = state === null || state.kind === 'none' ? undefined : state.checkpoint;
  return checkpoints?.find((each) => each.id === id)?.speaks ?? 'text';
}

function useAnswer(): {
  readonly answer: Answer;
  readonly follow: (text: string, reading: Reading) => void;
} {
  const [answer, setAnswer] = useState<Answer>({ kind: 'none' });
  const asked = useRef<AbortController | null>(null);
  // Who leaves the view waits for nothing.
  useEffect(() => () => asked.current?.abort(), []);
  const follow = (text: string, reading: Reading): void => {
    asked.current?.abort();
    const own = new AbortController();
    asked.current = own;
    setAnswer({ kind: 'asked' });
    askRouting(routingBody(text, reading), own.signal).then(
      (told) => !own.signal.aborted && setAnswer(told),
      (error: unknown) => {
        if (own.signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        setAnswer({ kind: 'refused', reason });
      },
    );
  };
  return { answer, follow };
}

async function askRouting(body: object, signal: AbortSignal): Promise<Answer> {
  if (!(await isServing(PAGE_DOOR))) return { kind: 'notServed' };
  const routing = await fetchJson<PromptRouting>('serve/routing', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
  return { kind: 'told', routing };
}
