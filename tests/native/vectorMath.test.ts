/**
 * exp, log and sigmoid of `csrc/vmath.h` against doubles, on every instruction set.
 *
 * The bound is 2 units in the last place: the argument's reduction costs half a unit, the
 * polynomial and the final sum about one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelCall } from '../../src/kernels/compiled/call.ts';
import { NativeHost } from '../../src/kernels/native/host.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';

const loaded = loadAddon();
const MAX_ULP = 2;
const FUNCTIONS = [
  { name: 'exp', of: Math.exp },
  { name: 'log', of: Math.log },
  { name: 'sigmoid', of: (x: number) => 1 / (1 + Math.exp(-x)) },
];
const SPECIAL = [0, -0, 1, -1, Infinity, -Infinity, NaN, 1e-45, 1e-40, 1.1754944e-38, 3.4028235e38];
const SPECIAL_FOR_EXP = [88.7, 88.73, 89, 100, -87.3, -87.4, -100, -103.9, -104.1, -200, 1e-10];

/** Every exponent and many mantissas of both signs, and the ranges where functions bend. */
function inputs(): Float32Array {
  const bits = new Uint32Array(1 << 16);
  for (let i = 0; i < bits.length; i++)
    bits[i] = Math.imul(i, 65_537) ^ Math.imul(i, 2_654_435_761);
  const near = Array.from({ length: 40_000 }, (_, i) => (i - 20_000) / 180);
  const nearOne = Array.from({ length: 4_000 }, (_, i) => 1 + (i - 2_000) * 2 ** -13);
  return Float32Array.from([
    ...new Float32Array(bits.buffer),
    ...near,
    ...nearOne,
    ...SPECIAL,
    ...SPECIAL_FOR_EXP,
  ]);
}

/** Distance in units of the last place of the exact value, subnormals included. */
function ulps(actual: number, exact: number): number {
  const expected = Math.fround(exact);
  if (Number.isNaN(expected) || !Number.isFinite(expected) || actual === expected) {
    return Object.is(actual, expected) || actual === expected ? 0 : Infinity;
  }
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(exact))));
  return Math.abs(actual - exact) / 2 ** (exponent - 23);
}

if ('reason' in loaded) {
  test('vector math', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;
  for (const [isa, isaName] of addon.isas.entries()) {
    for (const [index, { name, of }] of FUNCTIONS.entries()) {
      test(`native ${isaName}: ${name} is within ${MAX_ULP} ulp, also at the ends of its range`, () => {
        const arena = createNativeKernels(addon, { isa: isaName }).createArena('test');
        const values = inputs();
        const x = arena.allocate('f32', [values.length]);
        const out = arena.allocate('f32', [values.length]);
        const [xArray, outArray] = [x, out].map(
          ({ memory, byteOffset }) =>
            new Float32Array(memory.buffer as ArrayBuffer, byteOffset, values.length),
        ) as [Float32Array, Float32Array];
        xArray.set(values);
        const call = new KernelCall(new NativeHost(addon, isa, 1));
        call.begin().tensor(out).tensor(x).number(index).run(call.operation('vectorMath'));
        let worst = { x: 0, value: 0, ulp: 0 };
        outArray.forEach((value, i) => {
          const input = values[i] as number;
          const ulp = ulps(value, of(input));
          if (ulp > worst.ulp) worst = { x: input, value, ulp };
        });
        assert.ok(worst.ulp <= MAX_ULP, `${name}(${worst.x}) = ${worst.value}: ${worst.ulp} ulp`);
      });
    }
  }
}
