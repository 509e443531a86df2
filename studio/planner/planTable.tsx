/** Facts as a table: the words of a picture, and what has no picture. */
import type { ComponentChildren, JSX } from 'preact';
import { useWords } from '../app/language.ts';
import { messages } from './messages.ts';

/** What a picture shows, for who wants it in numbers. */
export function Folded({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const say = useWords(messages);
  return (
    <details>
      <summary>{say('table')}</summary>
      {children}
    </details>
  );
}

/** What a row is about, and a line on where it is from. */
export interface RowName {
  readonly name: string;
  readonly from: string;
}

type Cell = string | JSX.Element;

interface TableProperties {
  /** What a screen reader calls it. */
  readonly label: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly [Cell | RowName, ...Cell[]])[];
}

/** The first cell names its row; numbers stand to the right, their heads too. */
export function Table({ label, head, rows }: TableProperties): JSX.Element {
  return (
    <div class="wide">
      <table aria-label={label}>
        <thead>
          <tr>
            {head.map((each, column) => (
              <th
                key={each}
                scope="col"
                class={column > 0 && isNumeric(rows[0]?.[column] ?? '') ? 'number' : ''}
              >
                {each}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              <RowHead cell={row[0]} />
              {row.slice(1).map((cell, column) => (
                <td key={column} class={isNumeric(cell) ? 'numeric' : ''}>
                  {cell as Cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RowHead({ cell }: { readonly cell: Cell | RowName }): JSX.Element {
  if (typeof cell === 'string' || !('from' in cell)) return <th scope="row">{cell}</th>;
  return (
    // A reader of cells is told the name alone.
    <th scope="row" abbr={cell.name}>
      {cell.name}
      <small class="muted">{cell.from}</small>
    </th>
  );
}

function isNumeric(cell: Cell | RowName): boolean {
  return (
    typeof cell === 'string' && cell.length < 16 && /^[$+−–±]? ?\d[\d.,]*\s?\S{0,5}$/.test(cell)
  );
}
