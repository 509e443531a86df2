/**
 * The list of keys, as a dialog that keeps the focus and closes with Escape: the shell's own, and
 * those that views take where the focus is.
 */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { useWords } from './language.ts';
import { messages } from './messages.ts';
import { VIEWS, type ViewName } from './router.ts';

/** Keys of one view: [what is pressed, what it does]; commas part what is pressed one by one. */
const VIEW_KEYS: Readonly<Partial<Record<ViewName, readonly (readonly [string, Key])[]>>> = {
  experts: [
    ['←, →, ↑, ↓', 'keyCells'],
    ['Esc', 'keyUnchoose'],
  ],
  chat: [
    ['Enter', 'keySend'],
    ['Shift+Enter', 'keyLine'],
    ['Esc', 'keyStop'],
    ['←, →', 'keyTokens'],
  ],
  timeline: [
    ['←, →, ↑, ↓', 'keyMove'],
    ['+, −, 0', 'keyZoom'],
    ['Home, End', 'keyEnds'],
    ['Shift+←, Shift+→', 'keySpans'],
  ],
};

type Key = keyof (typeof messages)['en'];

export function KeyList({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const say = useWords(messages);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="keys" onClose={onClose}>
      <h2 id="keys">{say('help')}</h2>
      <dl class="keys">
        {VIEWS.map((view, index) => (
          <Row key={view} pressed={String(index + 1)} does={say('keyOpen', { view: say(view) })} />
        ))}
        <Row pressed="Tab" does={say('keyTab')} />
        <Row pressed="?" does={say('keyHelp')} />
        <Row pressed="Esc" does={say('keyClose')} />
      </dl>
      {VIEWS.map((view) => {
        const keys = VIEW_KEYS[view];
        if (keys === undefined) return null;
        return (
          <section key={view}>
            <h3>{say(view)}</h3>
            <dl class="keys">
              {keys.map(([pressed, does]) => (
                <Row key={pressed} pressed={pressed} does={say(does)} />
              ))}
            </dl>
          </section>
        );
      })}
      <button type="button" onClick={() => dialog.current?.close()}>
        {say('close')}
      </button>
    </dialog>
  );
}

function Row({ pressed, does }: { readonly pressed: string; readonly does: string }): JSX.Element {
  return (
    <div>
      <dt>
        {pressed.split(', ').map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </div>
  );
}
