/** Strings: patterns and formats hold together with lengths as one automaton over the content. */

import type { Automaton } from '../automaton.ts';
import { intersection } from '../automatonAlgebra.ts';
import {
  SPELLED_CHARACTER,
  STRING_CHARACTER_RULE,
  STRING_RULE,
  spelledInJson,
} from '../jsonText.ts';
import { regularAutomaton } from '../nfa.ts';
import { NOTHING, type Pattern, repeat, sequence, text } from '../pattern.ts';
import { searchRegex, wholeRegex } from '../regex.ts';
import { FORMATS } from './formats.ts';
import { below, countAt, refuseSchema, stringAt } from './keywords.ts';
import type { PlainSchema } from './schemaRules.ts';

export function stringPattern(schemas: readonly PlainSchema[]): Pattern {
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  const contents = new Map<string, Pattern>();
  for (const { schema, path } of schemas) {
    min = Math.max(min, countAt(schema, 'minLength', path) ?? 0);
    max = Math.min(max, countAt(schema, 'maxLength', path) ?? Number.POSITIVE_INFINITY);
    const pattern = stringAt(schema, 'pattern', path);
    if (pattern !== null) contents.set(`pattern ${pattern}`, searchRegex(pattern));
    const format = stringAt(schema, 'format', path);
    if (format !== null) contents.set(`format ${format}`, formatPattern(format, path));
  }
  if (min > max) return NOTHING;
  const isBounded = min > 0 || max < Number.POSITIVE_INFINITY;
  if (contents.size === 0) {
    if (!isBounded) return STRING_RULE;
    return sequence(text('"'), repeat(STRING_CHARACTER_RULE, min, max), text('"'));
  }
  const automata = [...contents.values()].map((one) => regularAutomaton(spelledInJson(one)));
  if (isBounded) automata.push(regularAutomaton(repeat(SPELLED_CHARACTER, min, max)));
  const automaton = automata.reduce((all, one): Automaton => intersection(all, one));
  return sequence(text('"'), { kind: 'automaton', automaton }, text('"'));
}

function formatPattern(format: string, path: string): Pattern {
  const source = FORMATS.get(format);
  if (source !== undefined) return wholeRegex(source);
  return refuseSchema(below(path, 'format'), `the format ${format} cannot be enforced`, {
    hint: `Use one of ${[...FORMATS.keys()].join(', ')}, or a pattern.`,
    values: { format },
  });
}
