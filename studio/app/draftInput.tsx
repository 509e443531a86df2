/**
 * An input that keeps what is being typed, however often the page around it is drawn anew, until it
 * is entered: by Enter, or by leaving it. A plain input with a `value` is set back at every render,
 * and a view that follows something live renders many times a second.
 */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** `kept`: what was entered cannot be meant, and stays in the field to be mended. */
export type Entered = 'taken' | 'kept';

interface Common {
  /** What holds until something else is entered. */
  readonly value: string | number;
  readonly onEnter: (text: string) => Entered;
  readonly id?: string;
  readonly 'aria-label'?: string;
  readonly 'aria-invalid'?: boolean;
  readonly 'aria-describedby'?: string | undefined;
}

interface TextProperties extends Common {
  readonly type: 'text';
  readonly inputMode: 'text' | 'numeric';
  readonly placeholder: string;
}

interface NumberProperties extends Common {
  readonly type: 'number';
  readonly min?: number;
  readonly max?: number;
  readonly step?: number | 'any';
}

export function DraftInput({
  value,
  onEnter,
  ...attributes
}: TextProperties | NumberProperties): JSX.Element {
  const [draft, setDraft] = useState<string | null>(null);
  const isKept = useRef(false);
  const forget = (): void => {
    isKept.current = false;
    setDraft(null);
  };
  // What was wrong goes with the value that it was wrong for; what is being typed stays.
  useEffect(() => {
    if (isKept.current) forget();
  }, [value]);
  return (
    <input
      {...attributes}
      value={draft ?? String(value)}
      onInput={({ currentTarget }) => {
        isKept.current = false;
        setDraft(currentTarget.value);
      }}
      onChange={({ currentTarget }) => {
        if (onEnter(currentTarget.value) === 'taken') forget();
        else isKept.current = true;
      }}
      // Typed and taken back by hand, nothing was entered.
      onBlur={() => {
        if (!isKept.current) forget();
      }}
    />
  );
}
