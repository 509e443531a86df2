/**
 * HTML and SVG as values. Text becomes markup only through `element`, which escapes it, so a
 * model's name with a tag in it stays a name: no other way leads in but `verbatim`, for our own
 * words.
 */

export interface Markup {
  readonly markup: string;
}

export type Child = Markup | string | number | null | readonly Child[];

export type Attributes = Readonly<Record<string, string | number | null>>;

/** Elements that have no end tag in HTML. */
const VOID: ReadonlySet<string> = new Set(['meta', 'br', 'hr', 'input', 'link', 'col']);

/** An attribute that is null is left out; one that is '' has only its name. */
export function element(name: string, attributes: Attributes, ...children: Child[]): Markup {
  const words = Object.entries(attributes).flatMap(([key, value]) => {
    if (value === null) return [];
    return [value === '' ? ` ${key}` : ` ${key}="${escapeText(numberOr(value))}"`];
  });
  const opening = `<${name}${words.join('')}>`;
  return { markup: VOID.has(name) ? opening : `${opening}${join(children)}</${name}>` };
}

export function fragment(...children: Child[]): Markup {
  return { markup: join(children) };
}

/** Our own style sheet and script; never anything that came from outside. */
export function verbatim(markup: string): Markup {
  return { markup };
}

/** Data for a script, as JSON in which no tag can open or close. */
export function dataScript(id: string, data: unknown): Markup {
  const json = JSON.stringify(data).replaceAll('<', '\\u003c').replaceAll('\u2028', '\\u2028');
  return element('script', { type: 'application/json', id }, verbatim(json));
}

export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

function join(children: readonly Child[]): string {
  return children.map(textOf).join('');
}

function textOf(child: Child): string {
  if (child === null) return '';
  if (typeof child === 'string') return escapeText(child);
  if (typeof child === 'number') return escapeText(numberOr(child));
  return 'markup' in child ? child.markup : join(child);
}

/** Coordinates need no more than hundredths of a pixel. */
function numberOr(value: string | number): string {
  if (typeof value === 'string') return value;
  return String(Math.round(value * 100) / 100);
}
