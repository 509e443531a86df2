/** Each kind of grammar as rules; parts of a grammar keep their rules apart. */
import { MoebiusError } from '../base/errors.ts';
import { parseEbnf } from './ebnf.ts';
import type { GrammarSpec, GrammarVocabulary } from './grammar.ts';
import { jsonRules, OBJECT_RULE } from './jsonText.ts';
import { choice, mapParts, type Pattern, type RuleSet, rule, text } from './pattern.ts';
import { wholeRegex } from './regex.ts';
import { schemaRules } from './schema/schemaRules.ts';

export function rulesOfSpec(spec: GrammarSpec, vocabulary: GrammarVocabulary): RuleSet {
  switch (spec.kind) {
    case 'jsonObject':
      return { rules: jsonRules().set('json', OBJECT_RULE), root: 'json' };
    case 'jsonSchema':
      return schemaRules(spec.schema);
    case 'regex':
      return { rules: new Map([['regex', wholeRegex(spec.pattern)]]), root: 'regex' };
    case 'ebnf':
      return ebnfRules(spec, vocabulary);
    case 'choice':
      return choiceRules(spec.choices);
    default:
      return spec satisfies never;
  }
}

function choiceRules(choices: readonly string[]): RuleSet {
  if (choices.length === 0) {
    throw new MoebiusError('grammar.empty', 'there is nothing to choose from', {
      hint: 'Give at least one choice.',
    });
  }
  const broken = choices.find((one) => !one.isWellFormed());
  if (broken !== undefined) {
    throw new MoebiusError('grammar.badChoice', 'a choice has half a surrogate pair in it', {
      values: { choice: broken },
      hint: 'Write whole characters.',
    });
  }
  return { rules: new Map([['choice', choice(...choices.map(text))]]), root: 'choice' };
}

function ebnfRules(
  spec: GrammarSpec & { readonly kind: 'ebnf' },
  vocabulary: GrammarVocabulary,
): RuleSet {
  const parts = Object.entries(spec.parts ?? {});
  const root = spec.root ?? 'root';
  const rules = new Map(
    parseEbnf(spec.text, {
      controlId: (spelling) => controlId(spelling, vocabulary),
      outside: new Set(parts.map(([name]) => name)),
    }),
  );
  for (const [name, part] of parts) {
    if (rules.has(name)) {
      throw new MoebiusError('grammar.duplicateRule', `the part ${name} is a rule too`, {
        values: { rule: name },
        hint: 'Rename one of them.',
      });
    }
    const inner = rulesOfSpec(part, vocabulary);
    for (const [innerName, pattern] of inner.rules) {
      rules.set(nameWithin(name, innerName), renamed(pattern, name));
    }
    rules.set(name, rule(nameWithin(name, inner.root)));
  }
  if (!rules.has(root)) {
    throw new MoebiusError('grammar.unknownRule', `the grammar has no rule ${root}`, {
      values: { rule: root, known: [...rules.keys()] },
      hint: `Define ${root} ::= …, or name the rule to begin with.`,
    });
  }
  return { rules, root };
}

/** JSON's own rules are the same in all parts. */
function nameWithin(part: string, name: string): string {
  return /^json [a-z ]*$/.test(name) && name !== 'json schema' ? name : `${part}: ${name}`;
}

function renamed(pattern: Pattern, part: string): Pattern {
  if (pattern.kind === 'rule') return rule(nameWithin(part, pattern.name));
  return mapParts(pattern, (inner) => renamed(inner, part));
}

function controlId(spelling: string, vocabulary: GrammarVocabulary): number {
  const id = vocabulary.controlToken(spelling);
  if (id === undefined) {
    throw new MoebiusError(
      'grammar.unknownControlToken',
      `the vocabulary has no control token ${spelling}`,
      {
        values: { token: spelling },
        hint: 'Spell it as the tokenizer does, or write "text" for plain text.',
      },
    );
  }
  if (vocabulary.bytesOf(id) !== null && !vocabulary.endIds.has(id)) {
    throw new MoebiusError(
      'grammar.unknownControlToken',
      `the token ${spelling} is plain text and no control token`,
      { values: { token: spelling, id }, hint: 'Write it as a literal, "text".' },
    );
  }
  return id;
}
