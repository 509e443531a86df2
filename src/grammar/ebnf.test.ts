/** Grammars in EBNF: people's own examples, held to recognisers that share no code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { takes, testVocabulary } from '../../tests/support/grammarTexts.ts';
import { compileGrammar } from './compileGrammar.ts';
import type { CompiledGrammar, GrammarSpec } from './grammar.ts';

const vocabulary = testVocabulary([], ['<｜tool▁sep｜>', '<a]b>']);

function compiled(
  text: string,
  more: Partial<GrammarSpec & { kind: 'ebnf' }> = {},
): CompiledGrammar {
  return compileGrammar({ kind: 'ebnf', text, ...more }, vocabulary);
}

/** As llama.cpp publishes it, but for its comments. */
const JSON_GRAMMAR = String.raw`
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt/] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# no white space without end
ws ::= | " " | "\n" [ \t]{0,20}
`;

test('EBNF: llama.cpp’s grammar of JSON takes what JSON.stringify writes', () => {
  const grammar = compiled(JSON_GRAMMAR);
  const value = fc.dictionary(
    fc.string(),
    fc
      .jsonValue({ noUnicodeString: true })
      .filter((one) => !/[\x7f]|\de|\d{16}/.test(JSON.stringify(one))),
  );
  fc.assert(
    fc.property(value, (object) => {
      fc.pre(!/[\x7f]/.test(JSON.stringify(object)));
      const text = JSON.stringify(object, null, 1);
      assert.ok(takes(grammar, text), text);
      assert.ok(!takes(grammar, `${text},`));
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('EBNF: arithmetic with direct left recursion takes what evaluates', () => {
  const grammar = compiled(`
    root ::= sum
    sum ::= sum ("+" | "-") product | product
    product ::= product "*" factor | factor
    factor ::= [0-9]+ | "(" sum ")" | "-" factor`);
  const letters = fc.array(fc.constantFrom('1', '2', '+', '-', '*', '(', ')'), { maxLength: 9 });
  const peer = (text: string): boolean => {
    const reduced = (of: string): string =>
      of.replace(/\d+|\(n\)/g, 'n').replace(/(^|[-+*(])-n/g, '$1n');
    let [before, now] = ['', text];
    while (before !== now) {
      before = now;
      now = reduced(now).replace(/n[-+*]n/g, 'n');
    }
    return now === 'n' && !/\d\(|\)\d|\)\(/.test(text);
  };
  fc.assert(
    fc.property(letters, (list) => {
      const text = list.join('');
      assert.equal(takes(grammar, text), peer(text), text);
    }),
    { numRuns: 1500, endOnFailure: true },
  );
});

test('EBNF: balanced brackets, which no regular expression can count', () => {
  const grammar = compiled('root ::= ("(" root ")" | "[" root "]")*');
  const peer = (text: string): boolean => {
    const open: string[] = [];
    for (const letter of text) {
      if (letter === '(' || letter === '[') open.push(letter);
      else if (open.pop() !== (letter === ')' ? '(' : '[')) return false;
    }
    return open.length === 0;
  };
  const letters = fc.array(fc.constantFrom('(', ')', '[', ']'), { maxLength: 12 });
  fc.assert(
    fc.property(letters, (list) => {
      const text = list.join('');
      assert.equal(takes(grammar, text), peer(text), text);
    }),
    { numRuns: 1000 },
  );
});

test('EBNF: ~"text" is any text in which it is not found', () => {
  for (const stop of ['aab', 'abab', 'a', '中文', '</', 'aaa']) {
    const grammar = compiled(`root ::= ~"${stop}"`);
    const until = compiled(`root ::= ~"${stop}" "${stop}"`);
    const letters = fc.array(fc.constantFrom('a', 'b', '中', '文', '<', '/'), { maxLength: 10 });
    fc.assert(
      fc.property(letters, (list) => {
        const text = list.join('');
        assert.equal(takes(grammar, text), !text.includes(stop), text);
        if (!text.includes(stop)) assert.ok(takes(until, text + stop));
      }),
    );
  }
});

test('EBNF: bounds, classes, escapes, any character', () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['root ::= "a"{2}', ['aa'], ['a', 'aaa']],
    ['root ::= "a"{2,}', ['aa', 'aaaa'], ['a']],
    ['root ::= "a"{1,2} "b"{,1}', ['a', 'aab'], ['', 'aaa', 'abb']],
    ['root ::= [a-c-]+', ['a-b', 'c'], ['d', '']],
    ['root ::= [^a-c\\]\\n]', ['d', '中', '-'], ['a', ']', '\n']],
    ['root ::= "\\x41\\u4e2d\\U0001F600\\"\\\\\\n"', ['A中😀"\\\n'], ['A']],
    ['root ::= .{2}', ['a\n', '😀中'], ['a', 'abc']],
    ['root ::= a-b a_c\na-b ::= "x" # rule\na_c ::=\n  | "y"\n  | "z"', ['x', 'xy', 'xz'], ['y']],
    ['root ::= ("a" | )', ['', 'a'], ['b']],
    ['root ::= ("a"?)* "b"', ['b', 'aab'], ['a']],
    ['root ::= a "y" a\na ::= "x"{0,999}', ['y', `y${'x'.repeat(999)}`], ['x'.repeat(1000)]],
  ];
  for (const [source, good, bad] of cases) {
    const grammar = compiled(source);
    for (const text of good) assert.ok(takes(grammar, text), `${source} on ${text}`);
    for (const text of bad) assert.ok(!takes(grammar, text), `${source} on ${text}`);
  }
});

test('EBNF: another root, and parts that are grammars of other kinds', () => {
  assert.ok(takes(compiled('a ::= "x"\nb ::= "y"', { root: 'b' }), 'y'));
  const grammar = compiled('root ::= "<" name ">" call', {
    parts: {
      name: { kind: 'choice', choices: ['add', 'sub'] },
      call: { kind: 'jsonSchema', schema: { type: 'array', items: { type: 'integer' } } },
    },
  });
  assert.ok(takes(grammar, '<add>[1,2]'));
  assert.ok(!takes(grammar, '<mul>[1,2]'));
  assert.ok(!takes(grammar, '<add>["1"]'));
});

test('EBNF: control tokens by their spelling', () => {
  const grammar = compiled('root ::= "f" <[<｜tool▁sep｜>]> <[<a]b>]>?');
  const matcher = grammar.start();
  assert.ok(matcher.accept(102));
  assert.ok(matcher.accept(vocabulary.controlToken('<｜tool▁sep｜>') ?? -1));
  assert.ok(matcher.mayEnd);
  assert.ok(matcher.accept(vocabulary.controlToken('<a]b>') ?? -1));
  assert.ok(matcher.mustEnd);
});

test('EBNF: refusals name the rule or the place', () => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['root ::= objekt\nobject ::= "a"', 'grammar.unknownRule', /objekt/],
    ['start ::= "a"', 'grammar.unknownRule', /rule root|: root/],
    ['root ::= "a"\nroot ::= "b"', 'grammar.duplicateRule', /rule root|: root/],
    ['root ::= a "x"\na ::= b "y"\nb ::= a "z" | "w"', 'grammar.leftRecursion', /a → b → a/],
    ['root ::= "x"? root "y" | "z"', 'grammar.leftRecursion', /rule root|: root/],
    ['root ::= "a" root', 'grammar.empty', /rule root|: root/],
    ['root ::= root', 'grammar.empty', /rule root|: root/],
    ['root ::= "a', 'grammar.badEbnf', /line 1, column 12: a literal is not closed/],
    ['root ::= [a', 'grammar.badEbnf', /class/],
    ['root ::= ("a"', 'grammar.badEbnf', /group/],
    ['root ::= "a")', 'grammar.badEbnf', /rule is expected/],
    ['root ::= "a"{3,2}', 'grammar.badEbnf', /reversed/],
    ['root ::= "\\q"', 'grammar.badEbnf', /escape/],
    ["root ::= 'a'", 'grammar.badEbnf', /begins nothing/],
    ['root ::= ~""', 'grammar.badEbnf', /empty text/],
    ['root = "a"', 'grammar.badEbnf', /rule is expected/],
    ['root ::= <[nothing]>', 'grammar.unknownControlToken', /nothing/],
    ['root ::= "a"{200000}', 'grammar.tooLarge', /200000/],
  ];
  for (const [source, code, message] of refused) {
    assert.throws(() => compiled(source), { code, message }, source);
  }
  const twice = { name: { kind: 'choice', choices: ['a'] } } as const;
  assert.throws(() => compiled('root ::= name\nname ::= "a"', { parts: twice }), {
    code: 'grammar.duplicateRule',
  });
});

test('choices: exactly these', () => {
  const choices = ['a', 'ab', '', '中', '😀'];
  const grammar = compileGrammar({ kind: 'choice', choices }, vocabulary);
  for (const text of choices) assert.ok(takes(grammar, text));
  for (const text of ['b', 'abc', '国']) assert.ok(!takes(grammar, text));
  for (const wrong of [[], ['\ud800']]) {
    assert.throws(() => compileGrammar({ kind: 'choice', choices: wrong }, vocabulary), {
      code: /^grammar\./,
    });
  }
});
