/**
 * `moebius forward` against an independent implementation: every tensor that it must write, every
 * gradient, every loss, on every kernel set; used on the committed cut and, in tests/long, on the
 * full set. Tolerances are those of tests/golden/README.md.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSafetensors, readTensorBytes } from '../../src/checkpoint/safetensors.ts';
import { openFile } from '../../src/runtime/files.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { moebiusJson } from './commandLine.ts';
import {
  type GoldenTensor,
  type GoldenTensors,
  goldenJson,
  goldenRoot,
  goldenTensor,
  goldenTensors,
  gradientError,
  maxError,
} from './golden.ts';
import { temporaryFolder } from './scripts.ts';

const LOSS = 1e-5;
const STATES = 5e-5;
const ROUTER_WEIGHTS = 1e-5;
const GRADIENTS = 1e-4;

/** What the command does not write: it is checked in other tests, or is no tensor of the model. */
const ELSEWHERE = /^(debug\.|alt\.|grad_balance|grad_sketch\.|sketch_signs\.)/;

/** Some golden folders keep fewer tensors than a model shows. */
const NAMES = new RegExp(
  [
    /^(grad\..+|embed|hidden\.\d+|final_norm|logits|mtp_(hidden|logits)\.\d+)$/,
    /^router\.\d+\.(logits|scores|indices|weights)$/,
  ]
    .map((pattern) => pattern.source)
    .join('|'),
);

interface Expected {
  readonly losses?: Readonly<Record<string, number | readonly number[]>>;
  readonly options?: object;
}

/** One test for each folder of the golden set in use and each kernel set. */
export function testForwardGoldens(): void {
  const folders = readdirSync(goldenRoot).filter((name) =>
    existsSync(join(goldenRoot, name, 'expected.safetensors')),
  );
  assert.ok(folders.length > 0, `${goldenRoot} has golden folders`);
  for (const kernels of ['reference', 'wasm', 'native']) {
    for (const folder of folders) {
      const loaded = kernels === 'native' ? loadAddon() : null;
      const skip = loaded !== null && 'reason' in loaded ? loaded.reason : false;
      test(`forward: ${folder} on ${kernels} kernels is golden`, { skip }, async (context) => {
        await checkFolder(folder, kernels, temporaryFolder(context));
      });
    }
  }
}

async function checkFolder(folder: string, kernels: string, scratch: string): Promise<void> {
  const path = join(goldenRoot, folder);
  const expected = goldenJson(join(folder, 'expected.json')) as Expected;
  const golden = await goldenTensors(join(folder, 'expected.safetensors'));
  const hasGradients = [...golden.keys()].some((name) => name.startsWith('grad'));
  const run = (options: string | null): Promise<Written> =>
    forward({ path, kernels, scratch, options, hasGradients });

  const written = await run(expected.options === undefined ? null : join(path, 'expected.json'));
  compareStates(golden, written.tensors);
  if (hasGradients) compareGradients(golden, written.tensors);
  if (expected.losses !== undefined) compareLosses(written.losses, expected.losses);
  await compareOtherMode(golden, async () => {
    const options = { ...expected.options, mtp_hidden: 'pre_norm' };
    const file = join(scratch, 'pre-norm.json');
    writeFileSync(file, JSON.stringify({ options }));
    return (await run(file)).tensors;
  });
}

interface Written {
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
  readonly losses: Readonly<Record<string, unknown>>;
}

async function forward(args: {
  path: string;
  kernels: string;
  scratch: string;
  options: string | null;
  hasGradients: boolean;
}): Promise<Written> {
  const output = join(args.scratch, 'out.safetensors');
  const json = await moebiusJson(
    'forward',
    ...['--checkpoint', args.path, '--inputs', join(args.path, 'inputs.json')],
    ...['--output', output, '--kernels', args.kernels],
    ...(args.options === null ? [] : ['--options', args.options]),
    ...(args.hasGradients ? ['--gradients'] : []),
  );
  const file = await openSafetensors(await openFile(output));
  assert.equal(json.tensors, file.tensors.size);
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, stored] of file.tensors) {
    const { buffer } = (await readTensorBytes(file.source, stored)).slice();
    assert.ok(stored.dtype === 'F32' || stored.dtype === 'I32', `${name} is ${stored.dtype}`);
    const values = stored.dtype === 'F32' ? new Float32Array(buffer) : new Int32Array(buffer);
    tensors.set(name, { shape: stored.shape, values });
  }
  return { tensors, losses: json.losses as Written['losses'] };
}

/** Every tensor but gradients; routing as a set per token, exact. */
function compareStates(golden: GoldenTensors, written: GoldenTensors): void {
  const wanted = [...golden.keys()].filter((name) => !ELSEWHERE.test(name));
  for (const name of wanted) {
    const expected = goldenTensor(golden, name);
    const actual = goldenTensor(written, name);
    assert.deepEqual(actual.shape, expected.shape, name);
    if (name.startsWith('grad.') || /^router\..*\.(indices|weights)$/.test(name)) continue;
    const error = maxError(actual.values, expected.values);
    assert.ok(error <= STATES, `${name}: ${error}`);
  }
  const layers = wanted.flatMap((name) => /^router\.(\d+)\.indices$/.exec(name)?.[1] ?? []);
  for (const layer of layers) compareRouting(golden, written, layer);
  const strange = [...written.keys()].filter((name) => !NAMES.test(name));
  assert.deepEqual(strange, [], 'only names of the golden format');
}

function compareRouting(golden: GoldenTensors, written: GoldenTensors, layer: string): void {
  const choicesOf = (tensors: GoldenTensors): { id: number; weight: number }[] => {
    const { shape, values } = goldenTensor(tensors, `router.${layer}.indices`);
    const weights = goldenTensor(tensors, `router.${layer}.weights`).values;
    const perToken = shape.at(-1) ?? 1;
    return Array.from(values, (id, i) => ({
      token: Math.floor(i / perToken),
      id,
      weight: weights[i] ?? Number.NaN,
    })).sort((a, b) => a.token - b.token || a.id - b.id);
  };
  const [expected, actual] = [choicesOf(golden), choicesOf(written)];
  const ids = (choices: typeof expected): number[] => choices.map(({ id }) => id);
  assert.deepEqual(ids(actual), ids(expected), `experts of layer ${layer}`);
  const weights = (choices: typeof expected): number[] => choices.map(({ weight }) => weight);
  const error = maxError(weights(actual), weights(expected));
  assert.ok(error <= ROUTER_WEIGHTS, `router weights of layer ${layer}: ${error}`);
}

/** Each gradient that was written is golden, and none is missing. */
function compareGradients(golden: GoldenTensors, written: GoldenTensors): void {
  let numCompared = 0;
  for (const [name, { values }] of written) {
    if (!name.startsWith('grad.')) continue;
    const error = gradientError(golden, name.slice('grad.'.length), values as Float32Array);
    assert.ok(error <= GRADIENTS, `${name}: ${error}`);
    numCompared++;
  }
  for (const [name, { shape }] of golden) {
    if (name.startsWith('grad.')) assert.ok(written.has(name), `${name} was written`);
    const stacked = /^grad_sketch\.(.*)\.rows$/.exec(name)?.[1];
    if (stacked === undefined) continue;
    const experts = stacked.includes('*') ? [...Array(shape[0]).keys()] : [0];
    for (const expert of experts) {
      const parameter = `grad.${stacked.replace('*', String(expert))}`;
      assert.ok(written.has(parameter), `${parameter} was written`);
    }
  }
  assert.ok(numCompared > 0, 'gradients were compared');
}

function compareLosses(
  actual: Readonly<Record<string, unknown>>,
  expected: NonNullable<Expected['losses']>,
): void {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
  for (const [name, value] of Object.entries(expected)) {
    const [wanted, got] = [[value].flat(), [actual[name]].flat() as number[]];
    const error = maxError(got, wanted);
    assert.ok(error <= LOSS, `${name}: ${error}`);
  }
}

/** The full set also has MTP logits with `mtp_hidden: pre_norm`. */
async function compareOtherMode(
  golden: GoldenTensors,
  run: () => Promise<GoldenTensors>,
): Promise<void> {
  const names = [...golden.keys()].filter((name) => name.startsWith('alt.mtp_logits.'));
  if (names.length === 0) return;
  const written = await run();
  for (const name of names) {
    const { values } = goldenTensor(written, name.slice('alt.'.length));
    const error = maxError(values, goldenTensor(golden, name).values);
    assert.ok(error <= STATES, `${name}: ${error}`);
  }
}
