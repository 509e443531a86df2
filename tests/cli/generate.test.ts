/**
 * `moebius generate`: golden text, plain and speculative alike, and what ends it; options and
 * checkpoints that must be refused.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { assertRefused, type Json, moebius, moebiusJson } from '../support/commandLine.ts';
import { goldenJson } from '../support/golden.ts';
import { lettersOf, writeLetterCheckpoint } from '../support/letterCheckpoint.ts';
import { dropTensors, editSafetensors, pokeFloat } from '../support/safetensorsEdit.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';

interface GoldenRun {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
  readonly spec_depth1: {
    readonly main_passes_including_prefill: number;
    readonly drafts_accepted: number;
    readonly tokens_per_pass: readonly number[];
  };
}

/** A trained model of 24 letters, and an untrained one of all bytes. */
let letters: string;
let talking: string;

before(async (context) => {
  letters = writeLetterCheckpoint(temporaryFolder(context as TestContext));
  talking = await writeTalkingCheckpoint(temporaryFolder(context as TestContext));
});

function generate(checkpoint: string, ...args: readonly string[]): Promise<Json> {
  return moebiusJson('generate', '--checkpoint', checkpoint, ...args);
}

test('generate: greedy text is golden, and so are the passes that speculation takes', async () => {
  const { runs } = goldenJson('v3-tiny-trained/decode.json') as { runs: readonly GoldenRun[] };
  for (const { prompt, generated, spec_depth1 } of runs) {
    const length = String(generated.length);
    const args = ['--prompt', lettersOf(prompt), '--max-tokens', length, '--temperature', '0'];
    const plain = await generate(letters, ...args, '--ignore-eos');
    assert.equal(plain.text, lettersOf(generated));
    assert.deepEqual(plain.ids, generated);
    const drafted = await generate(letters, ...args, '--ignore-eos', '--speculate');
    assert.equal(drafted.text, plain.text);
    assert.equal(drafted.passes, spec_depth1.main_passes_including_prefill - 1);
    // The golden run may accept one token past the length, which is not drafted here.
    const sum = spec_depth1.tokens_per_pass.reduce((total, tokens) => total + tokens, 0);
    assert.equal(drafted.accepted, spec_depth1.drafts_accepted - (sum - generated.length));
  }
});

test('generate: speculation changes no token, greedy or sampled, for any number of drafts', async () => {
  const rules = [
    { rule: ['--temperature', '0'], drafts: ['1', '2', '3'] },
    { rule: ['--temperature', '1', '--seed', '3'], drafts: ['1'] },
    { rule: ['--temperature', '1.3', '--top-k', '5', '--seed', '4'], drafts: ['2'] },
    {
      rule: ['--temperature', '0.9', '--top-p', '0.8', '--min-p', '0.05', '--seed', '5'],
      drafts: ['3'],
    },
  ];
  for (const checkpoint of [letters, talking]) {
    for (const { rule, drafts } of rules) {
      const args = ['--prompt', 'headfirst', '--max-tokens', '24', '--ignore-eos', ...rule];
      const plain = await generate(checkpoint, ...args);
      assert.equal(plain.drafted, 0);
      for (const numDrafts of drafts) {
        const drafted = await generate(checkpoint, ...args, '--speculate', numDrafts);
        assert.deepEqual(drafted.ids, plain.ids, `${rule.join(' ')}, ${numDrafts} drafts`);
        assert.ok(Number(drafted.drafted) > 0);
      }
    }
  }
});

test('generate: one seed gives one text, another seed another', async () => {
  const args = ['--prompt', 'head', '--max-tokens', '30', '--temperature', '1.5', '--ignore-eos'];
  const [first, again, other] = [
    await generate(letters, ...args, '--seed', '1'),
    await generate(letters, ...args, '--seed', '1'),
    await generate(letters, ...args, '--seed', '2'),
  ];
  assert.equal(first.text, again.text);
  assert.notEqual(first.text, other.text);
});

test('generate: ends at max-tokens, before a stop string, or where the context ends', async () => {
  const args = ['--prompt', 'jxbfdrbx', '--temperature', '0', '--ignore-eos'];
  const short = await generate(letters, ...args, '--max-tokens', '5');
  assert.deepEqual([short.tokens, short.finishReason], [5, 'length']);
  const whole = await generate(letters, ...args, '--max-tokens', '12');
  const text = String(whole.text);
  const stop = text.slice(4, 7);
  const stopped = await generate(letters, ...args, '--max-tokens', '12', '--stop', stop);
  assert.deepEqual([stopped.text, stopped.finishReason], [text.slice(0, 4), 'stopped']);
  const two = await generate(letters, ...args, '--stop', 'never', '--stop', text.slice(2, 4));
  assert.equal(two.text, text.slice(0, 2));
  // 64 positions, 8 of them the prompt's.
  const long = await generate(letters, ...args, '--max-tokens', '1000');
  assert.deepEqual([long.tokens, long.finishReason], [56, 'length']);
});

test('generate: the text comes out as it is in the JSON, behind the prompt', async () => {
  const args = ['--prompt', 'head', '--max-tokens', '8', '--ignore-eos'];
  const ran = await moebius('generate', '--checkpoint', letters, ...args, '--json');
  const { text } = JSON.parse(ran.stdout.trimEnd().split('\n').at(-1) ?? '') as { text: string };
  assert.ok(ran.stdout.startsWith(`head${text}\n`), ran.stdout);
});

test('generate: options out of their range are refused', async () => {
  const refused: readonly (readonly string[])[] = [
    ['--max-tokens', '0'],
    ['--max-tokens', 'many'],
    ['--temperature', '-1'],
    ['--temperature', 'NaN'],
    ['--top-k', '1.5'],
    ['--top-p', '1.1'],
    ['--min-p', '-0.1'],
    ['--seed', '-2'],
    ['--speculate', '0'],
  ];
  for (const [option = '', value = ''] of refused) {
    const ran = await moebius('generate', '--checkpoint', letters, '--prompt', 'a', option, value);
    assert.equal(ran.code, 1, `${option} ${value}`);
    assert.match(ran.stderr, new RegExp(`${option}.*${value.replace('.', '\\.')}`));
  }
  const none = ['generate', '--checkpoint', letters, '--prompt', 'a', '--top-p', '0'];
  assertRefused(await moebius(...none), 'sampling.invalid');
});

test('generate: prompts that no token spells, that are empty, or that fill the context are refused', async () => {
  const ask = (prompt: string): ReturnType<typeof moebius> =>
    moebius('generate', '--checkpoint', letters, '--prompt', prompt);
  assertRefused(await ask('HELLO'), 'tokenizer.unknownByte');
  assertRefused(await ask(''), 'generate.empty');
  assertRefused(await ask('a'.repeat(64)), 'generate.context');
});

test('generate: drafts without an MTP module are refused', async (context) => {
  const folder = copyOf(context, letters);
  dropTensors(join(folder, 'model.safetensors'), /^model\.layers\.3\./);
  const args = ['generate', '--checkpoint', folder, '--prompt', 'a', '--max-tokens', '2'];
  const plain = await moebius(...args);
  assert.equal(plain.code, 0, plain.stderr);
  assert.match(plain.stderr, /no speculation/);
  assertRefused(await moebius(...args, '--speculate'), 'generate.noMtp');
});

function copyOf(context: TestContext, checkpoint: string): string {
  const folder = join(temporaryFolder(context), 'copy');
  cpSync(checkpoint, folder, { recursive: true });
  return folder;
}

/** What is done to a good checkpoint, and the code of the one error that must come of it. */
interface Damage {
  readonly what: string;
  readonly code: string;
  readonly inflict: (folder: string, weights: string) => void;
}

const GATE_BIAS = 'model.layers.1.mlp.gate.e_score_correction_bias';

function writeIndex(folder: string, file: string): void {
  const weights = join(folder, 'model.safetensors');
  const names: string[] = [];
  editSafetensors(weights, ({ header }) => {
    names.push(...Object.keys(header).filter((name) => name !== '__metadata__'));
  });
  const index = { weight_map: Object.fromEntries(names.map((name) => [name, file])) };
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
}

const DAMAGES: readonly Damage[] = [
  {
    what: 'a file that was cut short',
    code: 'checkpoint.offsets',
    inflict: (_, weights) => {
      const bytes = readFileSync(weights);
      writeFileSync(weights, bytes.subarray(0, bytes.length - 100));
    },
  },
  {
    what: 'a file that ends within its header',
    code: 'checkpoint.truncated',
    inflict: (_, weights) => writeFileSync(weights, readFileSync(weights).subarray(0, 100)),
  },
  {
    what: 'an empty file',
    code: 'checkpoint.truncated',
    inflict: (_, weights) => writeFileSync(weights, ''),
  },
  {
    what: 'a header longer than memory',
    code: 'checkpoint.headerLength',
    inflict: (_, weights) => {
      const bytes = readFileSync(weights);
      bytes.writeBigUInt64LE(2n ** 62n, 0);
      writeFileSync(weights, bytes);
    },
  },
  {
    what: 'tensors that overlap',
    code: 'checkpoint.offsets',
    inflict: (_, weights) =>
      editSafetensors(weights, ({ header }) => {
        const [a, b] = Object.values(header).filter(({ shape }) => shape?.length === 1);
        if (a !== undefined && b !== undefined) b.data_offsets = a.data_offsets;
      }),
  },
  {
    what: 'a missing tensor',
    code: 'checkpoint.mismatch',
    inflict: (_, weights) =>
      editSafetensors(weights, ({ header }) => {
        header['lm_head.renamed'] = header['lm_head.weight'] as never;
        header['lm_head.weight'] = undefined as never;
      }),
  },
  {
    what: 'a tensor of another shape',
    code: 'checkpoint.mismatch',
    inflict: (_, weights) =>
      editSafetensors(weights, ({ header }) => {
        header['lm_head.weight']?.shape.reverse();
      }),
  },
  {
    what: 'a router bias that is NaN',
    code: 'checkpoint.routerBias',
    inflict: (_, weights) => pokeFloat(weights, GATE_BIAS, { index: 3, value: Number.NaN }),
  },
  {
    what: 'a router bias that is infinite',
    code: 'checkpoint.routerBias',
    inflict: (_, weights) => pokeFloat(weights, GATE_BIAS, { value: Number.POSITIVE_INFINITY }),
  },
  {
    what: 'a weight that is NaN',
    code: 'sampling.nonFinite',
    inflict: (_, weights) => pokeFloat(weights, 'model.norm.weight', { value: Number.NaN }),
  },
  {
    what: 'a head that differs from its copy',
    code: 'checkpoint.copies',
    inflict: (_, weights) => pokeFloat(weights, 'lm_head.weight', { value: 1 }),
  },
  {
    what: 'an index that leads out of the folder',
    code: 'checkpoint.unsafePath',
    inflict: (folder, weights) => {
      writeIndex(folder, '../model.safetensors');
      cpSync(weights, join(folder, '..', 'model.safetensors'));
      rmSync(weights);
    },
  },
  {
    what: 'an index that leads to the root',
    code: 'checkpoint.unsafePath',
    inflict: (folder, weights) => {
      writeIndex(folder, '/etc/passwd');
      rmSync(weights);
    },
  },
  {
    what: 'an index that names a file that is not there',
    code: 'checkpoint.missingShard',
    inflict: (folder, weights) => {
      writeIndex(folder, 'model-00001-of-00001.safetensors');
      rmSync(weights);
    },
  },
  {
    what: 'no weights',
    code: 'checkpoint.missing',
    inflict: (_, weights) => rmSync(weights),
  },
  {
    what: 'no config',
    code: 'file.missing',
    inflict: (folder) => rmSync(join(folder, 'config.json')),
  },
  {
    what: 'a config that was cut short',
    code: 'file.json',
    inflict: (folder) => writeFileSync(join(folder, 'config.json'), '{"hidden_size": 6'),
  },
  {
    what: 'no tokenizer',
    code: 'tokenizer.missing',
    inflict: (folder) => rmSync(join(folder, 'tokenizer.json')),
  },
  {
    what: 'a tokenizer that is a web page',
    code: 'tokenizer.notJson',
    inflict: (folder) => writeFileSync(join(folder, 'tokenizer.json'), '<!doctype html>'),
  },
  {
    what: 'a tokenizer with more tokens than the model',
    code: 'tokenizer.vocabulary',
    inflict: (folder) =>
      cpSync(join(talking, 'tokenizer.json'), join(folder, 'tokenizer.json'), { force: true }),
  },
];

for (const { what, code, inflict } of DAMAGES) {
  test(`generate: a checkpoint with ${what} is refused in one clear error`, async (context) => {
    const folder = copyOf(context, letters);
    inflict(folder, join(folder, 'model.safetensors'));
    const ran = await moebius('generate', '--checkpoint', folder, '--prompt', 'head', '--json');
    assertRefused(ran, code);
  });
}
