/**
 * What a key press means to the shell: 1–5 open a view, `?` the list of keys. Nothing is taken from
 * someone who is typing, nor any key that is held with Ctrl, Alt or Meta, which are the browser's.
 */
import { VIEWS, type ViewName } from './router.ts';

export interface KeyPress {
  readonly key: string;
  readonly altKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  /** Whether what has the focus takes text. */
  readonly isTyping: boolean;
}

export type ShellCommand =
  | { readonly kind: 'open'; readonly view: ViewName }
  | { readonly kind: 'help' };

export function commandOf(press: KeyPress): ShellCommand | undefined {
  if (press.isTyping || press.altKey || press.ctrlKey || press.metaKey) return undefined;
  if (press.key === '?') return { kind: 'help' };
  const view = /^[1-9]$/.test(press.key) ? VIEWS[Number(press.key) - 1] : undefined;
  return view === undefined ? undefined : { kind: 'open', view };
}

/** Inputs that take no text (boxes to tick, sliders) leave the keys to the shell. */
export function takesText(element: Element | null): boolean {
  if (element === null) return false;
  if (element.closest('[contenteditable=true]') !== null) return true;
  if (element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return true;
  return (
    element instanceof HTMLInputElement && !/^(?:checkbox|radio|range|button)$/.test(element.type)
  );
}
