/**
 * Reads TypeScript as far as the laws of the house need it: what a file imports, and its code with
 * comments and the insides of strings blanked out, so that a law about code never trips over prose.
 *
 * TypeScript 7 has no JavaScript API, and Node's type stripping removes the type imports that the
 * floors also hold, hence a scanner: strings, templates with code inside them, comments and regular
 * expressions are told apart; everything else is left as it stands, each character in its place.
 */

export interface ScannedImport {
  readonly specifier: string;
  /** Counted from 1. */
  readonly line: number;
}

export interface ScannedSource {
  /** As long as the source, line for line; comments and the insides of strings are spaces. */
  readonly code: string;
  readonly imports: readonly ScannedImport[];
  /** Lines with an `import(…)` of something other than a plain string. */
  readonly computedImports: readonly number[];
}

export function scanSource(text: string): ScannedSource {
  const code = blank(text);
  const imports: ScannedImport[] = [];
  const computedImports: number[] = [];
  // `from '…'`, `import '…'` and `import('…'`: nothing else in the language looks like these.
  const pattern = /(?<![.\w$#])(?:from\s*(?=['"])|import\s*(?=['"])|import\s*\(\s*)(['"]?)/g;
  for (const match of code.matchAll(pattern)) {
    const start = match.index + match[0].length;
    const line = lineAt(code, match.index);
    const quote = match[1] || code[start];
    if (quote !== "'" && quote !== '"') {
      computedImports.push(line);
      continue;
    }
    const from = match[1] ? start : start + 1;
    imports.push({ specifier: text.slice(from, code.indexOf(quote, from)), line });
  }
  return { code, imports, computedImports };
}

/** The line, counted from 1, on which a position of a text lies. */
export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < index; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** What stands before a `/` that opens a regular expression; after a value it divides. */
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{;+\-*%<>~^]|\b(?:return|typeof|case|in|of|delete|void|throw))$/;

function blank(text: string): string {
  const out = text.split('');
  /** For each template we are inside of, how many braces its code has open. */
  const templates: number[] = [];
  const hide = (from: number, to: number): void => {
    for (let i = from; i < to && i < out.length; i++) if (out[i] !== '\n') out[i] = ' ';
  };
  let index = 0;
  while (index < text.length) {
    const two = text.slice(index, index + 2);
    const one = text[index] ?? '';
    const depth = templates.at(-1);
    let end = index + 1;
    if (two === '//' || (index === 0 && two === '#!')) {
      end = indexOrEnd(text, '\n', index);
      hide(index, end);
    } else if (two === '/*') {
      end = indexOrEnd(text, '*/', index + 2) + 2;
      hide(index, end);
    } else if (one === "'" || one === '"') {
      end = endOfQuoted(text, index, one);
      hide(index + 1, end - 1);
    } else if (one === '`' || (one === '}' && depth === 0)) {
      // Template text runs from a backtick or from the end of a `${…}` to the next of either.
      if (one === '}') templates.pop();
      end = endOfTemplateText(text, index);
      const opensCode = text.slice(end - 2, end) === '${';
      if (opensCode) templates.push(0);
      hide(index + 1, opensCode ? end - 2 : end - 1);
    } else if (one === '/' && BEFORE_REGEX.test(lastCode(out, index))) {
      end = endOfRegex(text, index);
      hide(index + 1, end - 1);
    } else if (depth !== undefined && (one === '{' || one === '}')) {
      templates[templates.length - 1] = depth + (one === '{' ? 1 : -1);
    }
    index = end;
  }
  return out.join('');
}

function indexOrEnd(text: string, wanted: string, from: number): number {
  const at = text.indexOf(wanted, from);
  return at < 0 ? text.length : at;
}

/** Past the closing quote; a string ends with its line at the latest. */
function endOfQuoted(text: string, start: number, quote: string): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === quote) return i + 1;
    else if (text[i] === '\n') return i;
  }
  return text.length;
}

/** Past the closing backtick, or past the `${` that opens code. */
function endOfTemplateText(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '`') return i + 1;
    else if (text[i] === '$' && text[i + 1] === '{') return i + 2;
  }
  return text.length;
}

/** Past the closing slash; inside a class a slash is itself. */
function endOfRegex(text: string, start: number): number {
  let isInClass = false;
  for (let i = start + 1; i < text.length && text[i] !== '\n'; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '[') isInClass = true;
    else if (text[i] === ']') isInClass = false;
    else if (text[i] === '/' && !isInClass) return i + 1;
  }
  return start + 1;
}

/** The code just before a position: enough of it for its last word. */
function lastCode(out: readonly string[], index: number): string {
  let end = index;
  while (end > 0 && /\s/.test(out[end - 1] ?? '')) end--;
  return out.slice(Math.max(0, end - 12), end).join('');
}
