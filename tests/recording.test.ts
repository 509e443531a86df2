/** Operations done again: on every backend what they give one by one, and nothing unsound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32, I32, Kernels, SamplingRule } from '../src/kernels/kernels.ts';
import { type Recording, record } from '../src/kernels/recording.ts';
import { implementations } from './kernelContract/implementations.ts';

const [VOCABULARY, WIDTH] = [8, 16];
const GREEDY: SamplingRule = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1 };
const HOT: SamplingRule = { temperature: 1.5, topK: 0, topP: 1, minP: 0, seed: 3 };

/** A model of two rows: embedding, a network, norm, head, sampling. */
class Chain {
  readonly kernels: Kernels;
  readonly ids_T: I32;
  readonly table: F32;
  readonly x_TD: F32;
  readonly ids: I32;
  readonly logProbabilities: F32;
  readonly rules = [GREEDY, HOT];
  readonly positions = [1, 2];
  readonly #arena;
  readonly #parts;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
    const arena = kernels.createArena('chain');
    this.#arena = arena;
    this.ids_T = arena.allocate('i32', [2]);
    this.table = this.filled(VOCABULARY, WIDTH);
    this.x_TD = arena.allocate('f32', [2, WIDTH]);
    this.ids = arena.allocate('i32', [2]);
    this.logProbabilities = arena.allocate('f32', [2]);
    this.#parts = {
      gain: this.filled(WIDTH),
      mlp: { gateUp: { values: this.filled(12, WIDTH) }, down: { values: this.filled(WIDTH, 6) } },
      head: this.filled(VOCABULARY, WIDTH),
      out: arena.allocate('f32', [2, WIDTH]),
      logits: arena.allocate('f32', [2, VOCABULARY]),
    };
    kernels.write(this.ids_T, Int32Array.of(3, 5));
  }

  filled(...shape: number[]): F32 {
    const tensor = this.#arena.allocate('f32', shape);
    const count = shape.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from({ length: count }, (_, i) => Math.sin(1 + i * 1.7));
    this.kernels.write(tensor, values);
    return tensor;
  }

  run(kernels: Kernels): void {
    const { gain, mlp, head, out, logits } = this.#parts;
    kernels.embedding({ out_TD: this.x_TD, table_VD: { values: this.table }, ids_T: this.ids_T });
    kernels.feedForwardDecode({ x_TD: this.x_TD, gain, eps: 1e-6, mlp });
    kernels.rmsNorm({ out, x: this.x_TD, gain, eps: 1e-6 });
    kernels.matmul({ out: logits, a: out, b: { values: head }, layout: 'nt' });
    const { ids: ids_T, logProbabilities: logProbabilities_T, rules, positions } = this;
    kernels.sampleTokens({ ids_T, logProbabilities_T, logits_TV: logits, rules, positions });
  }

  record(): Recording {
    return record(this.kernels, (kernels) => this.run(kernels));
  }

  async outputs(): Promise<unknown[]> {
    const { kernels, x_TD, ids, logProbabilities } = this;
    return [
      await kernels.read(x_TD),
      await kernels.read(ids),
      await kernels.read(logProbabilities),
    ];
  }
}

for (const { name, makeKernels } of implementations) {
  test(`${name}: a recording is its operations, whatever the tensors hold by then`, async () => {
    const [recorded, plain] = [new Chain(makeKernels()), new Chain(makeKernels())];
    const recording = recorded.record();
    plain.run(plain.kernels);
    assert.deepEqual(await recorded.outputs(), await plain.outputs());
    const changes: ((chain: Chain) => void)[] = [
      ({ kernels, ids_T }) => kernels.write(ids_T, Int32Array.of(7, 0)),
      ({ rules, positions }) => {
        rules.fill({ ...HOT, temperature: 100, seed: 9 });
        positions[1] = 70;
      },
      ({ kernels, table }) => kernels.scale({ x: table, factor: -0.5 }),
    ];
    const seen = new Set<string>();
    for (const change of changes) {
      for (const chain of [recorded, plain]) change(chain);
      recording.run();
      plain.run(plain.kernels);
      const outputs = await recorded.outputs();
      assert.deepEqual(outputs, await plain.outputs());
      seen.add(JSON.stringify(outputs));
    }
    assert.equal(seen.size, changes.length, 'every change is to be seen');
  });

  test(`${name}: a recording refuses indices and rules that its operations would`, async () => {
    const chain = new Chain(makeKernels());
    const recording = chain.record();
    const before = await chain.outputs();
    chain.kernels.write(chain.ids_T, Int32Array.of(3, VOCABULARY));
    assert.throws(() => recording.run(), /embedding: id 8/);
    chain.kernels.write(chain.ids_T, Int32Array.of(3, 5));
    chain.rules[1] = { ...HOT, topP: 2 };
    assert.throws(() => recording.run(), /sampleTokens: a rule outside its range/);
    chain.rules.length = 1;
    assert.throws(() => recording.run(), /1 rules, 2 positions, 2 rows/);
    chain.rules[1] = HOT;
    recording.run();
    assert.deepEqual(await chain.outputs(), before);
  });

  test(`${name}: what cannot be done again blindly is refused, and nothing stays behind`, async () => {
    const chain = new Chain(makeKernels());
    const { x_TD: x, ids_T } = chain;
    const out = chain.filled(2, WIDTH);
    assert.throws(() => record(chain.kernels, (k) => k.copy({ out, x })), /copy in a recording/);
    const read = (k: Kernels): unknown => k.read(x);
    const reads = async (): Promise<unknown> => {
      let result: unknown;
      record(chain.kernels, (kernels) => {
        result = read(kernels);
      });
      return await result;
    };
    await assert.rejects(reads(), /a recording reads or writes a tensor/);
    const write = (k: Kernels): void => k.write(ids_T, Int32Array.of(1, 1));
    assert.throws(() => record(chain.kernels, write), /a recording reads or writes a tensor/);
    const recording = chain.record();
    const expected = await chain.outputs();
    chain.kernels.copy({ out, x });
    recording.run();
    assert.deepEqual(await chain.outputs(), expected);
  });

  test(`${name}: a recording runs behind what waits, and two do not disturb one another`, async () => {
    const [one, plain] = [new Chain(makeKernels()), new Chain(makeKernels())];
    const first = one.record();
    const gain = one.filled(WIDTH);
    const mlp = {
      gateUp: { values: one.filled(12, WIDTH) },
      down: { values: one.filled(WIDTH, 6) },
    };
    const second = record(one.kernels, (kernels) =>
      kernels.feedForwardDecode({ x_TD: one.x_TD, gain, eps: 0, mlp }),
    );
    // Draws by a list of its own in between.
    const other = new Chain(one.kernels);
    other.rules[0] = HOT;
    other.run(one.kernels);
    first.run();
    one.kernels.feedForwardDecode({ x_TD: one.x_TD, gain, eps: 1, mlp });
    second.run();
    plain.run(plain.kernels);
    const [, ids, logProbabilities] = await plain.outputs();
    for (const eps of [1, 0]) {
      plain.kernels.feedForwardDecode({
        x_TD: plain.x_TD,
        gain: plain.filled(WIDTH),
        eps,
        mlp: {
          gateUp: { values: plain.filled(12, WIDTH) },
          down: { values: plain.filled(WIDTH, 6) },
        },
      });
    }
    const [x] = await plain.outputs();
    assert.deepEqual(await one.outputs(), [x, ids, logProbabilities]);
  });

  test(`${name}: draws of one recording have rules of their own`, async () => {
    const kernels = makeKernels();
    const arena = kernels.createArena('draws');
    const logits_TV = arena.allocate('f32', [1, 64]);
    kernels.fill({ out: logits_TV, value: 0 });
    const draws = Array.from({ length: 4 }, (_, seed) => ({
      logits_TV,
      ids_T: arena.allocate('i32', [1]),
      logProbabilities_T: arena.allocate('f32', [1]),
      rules: [{ ...HOT, seed }],
      positions: [0],
    }));
    const drawn = (): Promise<number[]> =>
      Promise.all(draws.map(async ({ ids_T }) => (await kernels.read(ids_T))[0] ?? -1));
    for (const draw of draws) kernels.sampleTokens(draw);
    const expected = await drawn();
    assert.ok(new Set(expected).size > 1);
    const recording = record(kernels, (k) => {
      for (const draw of draws) k.sampleTokens(draw);
    });
    for (const { ids_T } of draws) kernels.fill({ out: ids_T, value: 0 });
    recording.run();
    assert.deepEqual(await drawn(), expected);
  });
}
