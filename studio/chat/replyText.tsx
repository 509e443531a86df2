/** A reply token by token: drafts that stood are underlined, probabilities come by pointing. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Words } from '../app/language.ts';
import type { ToldToken } from './chatRequest.ts';
import type { MessageKey } from './messages.ts';
import { markOf, probabilityOf, type TokenPiece, tokenPieces } from './tokenPieces.ts';

export type Say = Words<MessageKey>;

/** One stop for all tokens; the arrows go on from there. */
const REACHED_BY_TAB = { tabIndex: 0 };

interface Properties {
  readonly text: string;
  readonly tokens: readonly ToldToken[];
  readonly say: Say;
}

export function ReplyText({ text, tokens, say }: Properties): JSX.Element {
  const [picked, setPicked] = useState<number | null>(null);
  const pieces = useMemo(() => tokenPieces(text, tokens), [text, tokens]);
  if (tokens.length === 0) return <div class="text">{text}</div>;
  const point = ({ target }: { readonly target: EventTarget | null }): void => {
    const index = target instanceof HTMLElement ? target.dataset.index : undefined;
    if (index !== undefined) setPicked(Number(index));
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') setPicked(null);
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    setPicked((was) => Math.max(0, Math.min(pieces.length - 1, (was ?? -1) + move)));
  };
  const piece = picked === null ? undefined : pieces[picked];
  return (
    <>
      <div
        class="text"
        role="toolbar"
        aria-label={say('tokensOf')}
        {...REACHED_BY_TAB}
        onPointerOver={point}
        onPointerDown={point}
        onKeyDown={key}
      >
        {pieces.map((each, index) => (
          <span
            key={index}
            data-index={index}
            class={`token ${markOf(each)}${index === picked ? ' picked' : ''}`}
          >
            {each.text}
          </span>
        ))}
      </div>
      {piece !== undefined && <Probabilities piece={piece} say={say} />}
    </>
  );
}

/** Of the piece that was picked: its tokens, each with the likeliest others. */
function Probabilities({
  piece,
  say,
}: {
  readonly piece: TokenPiece;
  readonly say: Say;
}): JSX.Element {
  return (
    <div class="probabilities card" role="status" aria-live="polite">
      <p>
        <code>{JSON.stringify(piece.text)}</code> {percent(Math.log(probabilityOf(piece)))}
        {markOf(piece) === 'drafted' && <span class="badge">{say('drafted')}</span>}
      </p>
      {piece.tokens.map((token, i) => (
        <table key={i}>
          <thead>
            <tr>
              <th scope="col">{say('token')}</th>
              <th scope="col" class="number">
                {say('probability')}
              </th>
            </tr>
          </thead>
          <tbody>
            {rowsOf(token).map((row, at) => (
              <tr key={at} class={row.isChosen ? 'chosen' : undefined}>
                <td>
                  <code>{JSON.stringify(row.token)}</code>
                  {row.isChosen && ` (${say('chosen')})`}
                </td>
                <td class="number">{percent(row.logprob)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </div>
  );
}

interface Row {
  readonly token: string;
  readonly logprob: number;
  readonly isChosen: boolean;
}

/** The likeliest, and the one that came, which may not be among them. */
function rowsOf({ token, logprob, top_logprobs: top = [] }: ToldToken): readonly Row[] {
  const chosen = top.findIndex((each) => each.token === token && each.logprob === logprob);
  const rows = top.map((each, i) => ({ ...each, isChosen: i === chosen }));
  return chosen >= 0 ? rows : [...rows, { token, logprob, isChosen: true }];
}

function percent(logprob: number): string {
  return `${(100 * Math.exp(logprob)).toFixed(1)} %`;
}
