/** Before the first word: what answers, how one talks to it, and a few ways to begin. */
import type { JSX } from 'preact';
import type { Manner } from './chatRequest.ts';
import type { Say } from './replyText.tsx';
import { nameOf, type Serving } from './serving.ts';

interface Properties {
  readonly serving: Serving;
  readonly manner: Manner;
  readonly say: Say;
  readonly onPick: (checkpoint: string) => void;
  readonly onSend: (text: string) => void;
}

/** In the language of the texts that models are trained on here. */
const TEXTS = [
  'The people of the United States',
  'Call me Ishmael.',
  'In the beginning',
  'It was a dark night, and the sea',
];
const QUESTIONS = ['chatOne', 'chatTwo', 'chatThree', 'chatFour'] as const;

interface Beginning {
  readonly label: string;
  readonly sent: string;
}

function beginnings(manner: Manner, say: Say): readonly Beginning[] {
  return manner === 'text'
    ? TEXTS.map((text) => ({ label: say('beginWith', { text }), sent: text }))
    : QUESTIONS.map((key) => ({ label: say(key), sent: say(key) }));
}

export function EmptyChat({ serving, manner, say, onPick, onSend }: Properties): JSX.Element {
  const { checkpoints, state } = serving;
  if (checkpoints?.length === 0) {
    return (
      <div class="empty">
        <h2>{say('emptyTitle')}</h2>
        <p>{say('noCheckpoints')}</p>
        <p>
          <code>npx moebius start</code>
        </p>
      </div>
    );
  }
  const [newest] = checkpoints ?? [];
  return (
    <div class="empty">
      <h2>{say(manner === 'text' ? 'emptyText' : 'emptyChat')}</h2>
      <p class="muted">{say(manner === 'text' ? 'emptyTextHint' : 'emptyChatHint')}</p>
      {state?.kind === 'none' && newest !== undefined && (
        <p>
          <button type="button" class="primary" onClick={() => onPick(newest.id)}>
            {say('serveNewest', { name: nameOf(newest) })}
          </button>
        </p>
      )}
      <ul class="beginnings" aria-label={say('beginnings')}>
        {beginnings(manner, say).map(({ label, sent }) => (
          <li key={sent}>
            <button type="button" onClick={() => onSend(sent)}>
              {label}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
