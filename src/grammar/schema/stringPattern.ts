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
import type { PlainSchema } from './keywords.ts';
import { below, countAt, refuseSchema, stringAt } from './keywords.ts';

export function stringPattern(schemas: readonly PlainSchema[]): Pattern {
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  const automata = new Map<string, Automaton>();
  for (const { schema, path } of schemas) {
    min = Math.max(min, countAt(schema, 'minLength', path) ?? 0);
    max = Math.min(max, countAt(schema, 'maxLength', path) ?? Number.POSITIVE_INFINITY);
    const pattern = stringAt(schema, 'pattern', path);
    if (pattern !== null) {
      const content = regularAutomaton(spelledInJson(searchRegex(pattern)));
      automata.set(`pattern ${pattern}`, content);
    }
    const format = stringAt(schema, 'format', path);
    if (format !== null) automata.set(`format ${format}`, formatAutomaton(format, path));
  }
  if (min > max) return NOTHING;
  const isBounded = min > 0 || max < Number.POSITIVE_INFINITY;
  if (automata.size === 0) {
    if (!isBounded) return STRING_RULE;
    return sequence(text('"'), repeat(STRING_CHARACTER_RULE, min, max), text('"'));
  }
  const length = repeat(SPELLED_CHARACTER, min, max);
  if (isBounded) automata.set('length', regularAutomaton(length));
  const automaton = [...automata.values()].reduce((all, one): Automaton => intersection(all, one));
  return sequence(text('"'), { kind: 'automaton', automaton }, text('"'));
}

/** Made once: that of addresses takes longer than most schemas. */
const formatAutomata = new Map<string, Automaton>();

function formatAutomaton(format: string, path: string): Automaton {
  const known = formatAutomata.get(format);
  if (known !== undefined) return known;
  const source = FORMATS.get(format);
  if (source === undefined) {
    refuseSchema(below(path, 'format'), `the format ${format} cannot be enforced`, {
      hint: `Use one of ${[...FORMATS.keys()].join(', ')}, or a pattern.`,
      values: { format },
    });
  }
  const automaton = regularAutomaton(spelledInJson(wholeRegex(source)));
  formatAutomata.set(format, automaton);
  return automaton;
}
