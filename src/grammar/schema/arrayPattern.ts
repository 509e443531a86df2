/** Arrays: first items each with schemas of their own, the rest alike, counts between bounds. */
import { bracketed, COMMA } from '../jsonText.ts';
import { EMPTY, NOTHING, optional, type Pattern, repeat, sequence } from '../pattern.ts';
import type { PatternOf, PlainSchema } from './keywords.ts';
import { below, countAt, type Located, locate, refuseSchema, schemasAt } from './keywords.ts';

interface Part {
  readonly prefix: readonly Located[];
  readonly items: Located | null;
}

export function arrayPattern(schemas: readonly PlainSchema[], patternOf: PatternOf): Pattern {
  const parts = schemas.map(partOf);
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  for (const { schema, path } of schemas) {
    min = Math.max(min, countAt(schema, 'minItems', path) ?? 0);
    max = Math.min(max, countAt(schema, 'maxItems', path) ?? Number.POSITIVE_INFINITY);
  }
  const numFirst = Math.max(0, ...parts.map(({ prefix }) => prefix.length));
  const isClosed = numFirst > 0 && parts.every(({ items }) => items === null);
  if (isClosed && min <= numFirst) max = Math.min(max, numFirst);
  // `items: false` ends the array; the count of what may come is then the prefix's.
  const ended = parts.filter(({ items }) => items?.schema === false);
  for (const { prefix } of ended) max = Math.min(max, prefix.length);
  if (min > max) return NOTHING;

  const itemAt = (index: number): Pattern =>
    patternOf(parts.flatMap(({ prefix, items }) => prefix[index] ?? items ?? []));
  const rest = max > numFirst ? itemAt(numFirst) : NOTHING;
  const first = Array.from({ length: Math.min(numFirst, max) }, (_, i) => itemAt(i));
  return bracketed(
    '[',
    ']',
    listPattern({ first, rest, min, max }),
    min === 0 ? 'optional' : 'required',
  );
}

function partOf({ schema, path }: PlainSchema): Part {
  if (Array.isArray(schema.items)) {
    refuseSchema(below(path, 'items'), 'a list of schemas is what older drafts had here', {
      hint: 'Use prefixItems for the first items, and items for the rest.',
    });
  }
  return {
    prefix: schemasAt(schema, 'prefixItems', path),
    items: schema.items === undefined ? null : locate(schema.items, below(path, 'items')),
  };
}

interface List {
  readonly first: readonly Pattern[];
  readonly rest: Pattern;
  readonly min: number;
  readonly max: number;
}

/** One item or more; `NOTHING` where there can be none. */
function listPattern({ first, rest, min, max }: List): Pattern {
  const numFirst = first.length;
  if (max === 0) return NOTHING;
  if (numFirst === 0) {
    return sequence(rest, repeat(sequence(COMMA, rest), Math.max(0, min - 1), max - 1));
  }
  let tail: Pattern = EMPTY;
  if (max > numFirst) {
    tail = repeat(sequence(COMMA, rest), Math.max(0, min - numFirst), max - numFirst);
  }
  for (let i = numFirst - 1; i >= 1; i--) {
    const item = sequence(COMMA, first[i] as Pattern, tail);
    tail = i >= min ? optional(item) : item;
  }
  return sequence(first[0] as Pattern, tail);
}
