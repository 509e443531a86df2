/** Where one writes: at the bottom, with what may be done next beside it. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Manner } from './chatRequest.ts';
import type { ChatAction } from './conversation.ts';
import type { Say } from './replyText.tsx';

interface ComposerProperties {
  readonly mode: 'idle' | 'replying';
  readonly manner: Manner;
  /** `nobody`: there is no checkpoint that could answer. */
  readonly answers: 'somebody' | 'nobody';
  readonly hasHistory: boolean;
  readonly say: Say;
  readonly onSend: (text: string) => void;
  readonly dispatch: (action: ChatAction) => void;
}

/** Rows it grows to before it scrolls. */
const MOST_ROWS = 8;

export function Composer(properties: ComposerProperties): JSX.Element {
  const { mode, manner, answers, hasHistory, say, onSend, dispatch } = properties;
  const [text, setText] = useState('');
  const input = useRef<HTMLTextAreaElement>(null);
  const isIdle = mode === 'idle';
  const canSend = isIdle && answers === 'somebody' && text.trim() !== '';
  const send = (): void => {
    if (!canSend) return;
    onSend(text);
    setText('');
  };
  const isOpening = useRef(true);
  // A button that goes takes the focus with it; it belongs where one writes on. The page that opens
  // takes nothing: its keys are the shell's.
  useEffect(() => {
    const isLost = document.activeElement === document.body && !isOpening.current;
    isOpening.current = false;
    if (isLost) input.current?.focus({ preventScroll: true });
  }, [mode, hasHistory]);
  const label = say(manner === 'text' ? 'sayText' : 'say');
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div class="box">
        <textarea
          ref={input}
          rows={Math.min(MOST_ROWS, Math.max(2, text.split('\n').length))}
          aria-label={label}
          aria-describedby="chat-hint"
          placeholder={label}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            // While an input method composes, Enter picks a character.
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        {/* Keyed: a click or a focus that was meant for the one never falls to the other. */}
        {isIdle ? (
          <button key="send" type="submit" class="primary" disabled={!canSend}>
            {say(manner === 'text' ? 'goOn' : 'send')}
          </button>
        ) : (
          <button
            key="stop"
            type="button"
            class="primary stop"
            aria-keyshortcuts="Escape"
            onClick={() => dispatch({ kind: 'stop' })}
          >
            {say('stop')}
          </button>
        )}
      </div>
      <div class="row">
        <button
          type="button"
          disabled={!isIdle || !hasHistory || answers === 'nobody'}
          onClick={() => dispatch({ kind: 'regenerate' })}
        >
          {say('regenerate')}
        </button>
        <button type="button" disabled={!hasHistory} onClick={() => dispatch({ kind: 'clear' })}>
          {say('clear')}
        </button>
        <span id="chat-hint" class="muted">
          {say('hint')}
        </span>
      </div>
    </form>
  );
}
