/** The prompt's tokens as chips in a row: one is chosen, those of the chosen expert are marked. */
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import type { RoutedToken } from '../../src/server/studio/wire.ts';
import type { Say } from './expertTable.tsx';
import { keyTarget } from './promptRoutes.ts';

interface Properties {
  readonly tokens: readonly RoutedToken[];
  /** What is written on each. */
  readonly labels: readonly string[];
  readonly chosen: number;
  /** Indices of those that went to the expert that is looked at. */
  readonly went: ReadonlySet<number>;
  readonly onChoose: (token: number) => void;
  readonly say: Say;
}

export function TokenRow({ tokens, labels, chosen, went, onChoose, say }: Properties): JSX.Element {
  const row = useRef<HTMLDivElement>(null);
  const key = (event: KeyboardEvent): void => {
    const next = keyTarget(event.key, chosen, tokens.length);
    if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    onChoose(next);
    row.current?.querySelector<HTMLElement>(`[data-token="${next}"]`)?.focus();
  };
  return (
    <div
      class="chips"
      role="listbox"
      aria-label={say('tokensOfPrompt')}
      aria-orientation="horizontal"
      ref={row}
      onKeyDown={key}
    >
      {tokens.map(({ id }, i) => (
        <button
          type="button"
          key={i}
          role="option"
          class={went.has(i) ? 'chip went' : 'chip'}
          data-token={i}
          aria-selected={i === chosen}
          aria-label={say(went.has(i) ? 'tokenWent' : 'tokenName', {
            ...{ text: labels[i] ?? '', token: i + 1, of: tokens.length },
          })}
          title={say('tokenId', { id })}
          tabIndex={i === chosen ? 0 : -1}
          onClick={() => onChoose(i)}
        >
          {labels[i]}
        </button>
      ))}
    </div>
  );
}
