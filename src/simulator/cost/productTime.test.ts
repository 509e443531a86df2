/** Products: less work, more SMs, more bandwidth never take longer; big ones near their peak. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { curves } from './curves.ts';
import { FIT_GPU, type FittedProduct } from './fitCurves.ts';
import { type Product, productTime, type TensorMachine } from './productTime.ts';

const machine: TensorMachine = {
  numSms: FIT_GPU.numSms,
  smFlops: FIT_GPU.fp8 / FIT_GPU.numSms,
  memoryBytesPerSecond: FIT_GPU.memoryBytesPerSecond,
};
const fits: readonly FittedProduct[] = Object.values(curves).filter(
  (fit): fit is FittedProduct => 'curve' in fit,
);
const size = fc.integer({ min: 1, max: 20_000 });
const fit = fc.constantFrom(...fits);
const product = fc
  .record({ m: size, n: size, k: size, groups: fc.integer({ min: 1, max: 8 }) })
  .map(withBytes);

function withBytes(of: Omit<Product, 'bytes'>): Product {
  const { m, n, k, groups } = of;
  return { ...of, bytes: groups * (m * k + n * k + 2 * m * n) };
}

function seconds({ curve }: FittedProduct, of: Product, on: TensorMachine = machine): number {
  return productTime(curve, of, on).seconds;
}

test('productTime: more rows, columns, depth or groups are never faster', () => {
  fc.assert(
    fc.property(fit, product, size, (each, small, more) => {
      for (const grown of [
        { ...small, m: small.m + more },
        { ...small, n: small.n + more },
        { ...small, k: small.k + more },
        { ...small, groups: small.groups + 1 },
      ]) {
        assert.ok(seconds(each, withBytes(grown)) >= seconds(each, small));
      }
    }),
  );
});

test('productTime: fewer SMs, slower SMs or half the bandwidth are never faster', () => {
  fc.assert(
    fc.property(fit, product, fc.integer({ min: 1, max: 131 }), (each, of, numSms) => {
      const whole = seconds(each, of);
      assert.ok(seconds(each, of, { ...machine, numSms }) >= whole);
      assert.ok(seconds(each, of, { ...machine, smFlops: machine.smFlops / 2 }) >= whole);
      const memoryBytesPerSecond = machine.memoryBytesPerSecond / 2;
      assert.ok(seconds(each, of, { ...machine, memoryBytesPerSecond }) >= whole);
    }),
  );
});

test('productTime: nothing runs above the peak, and a long product comes near to its share', () => {
  fc.assert(
    fc.property(fit, product, (each, of) => {
      const { m, n, k, groups } = of;
      assert.ok((2 * m * n * k * groups) / seconds(each, of) <= FIT_GPU.fp8);
    }),
  );
  const large = withBytes({ m: 16896, n: 16384, k: 16384, groups: 1 });
  const rate = (2 * large.m * large.n * large.k) / seconds(curves.fp8First, large);
  assert.ok(rate > 0.65 * FIT_GPU.fp8, `${rate / 1e12} TFLOP/s`);
});

test('productTime: 112 of 132 SMs take between the same and 132/112 and a wave longer', () => {
  const of = withBytes({ m: 4096, n: 7168, k: 16384, groups: 1 });
  const ratio =
    seconds(curves.fp8First, of, { ...machine, numSms: 112 }) / seconds(curves.fp8First, of);
  assert.ok(ratio > 1 && ratio < (132 / 112) * 1.1, `${ratio}`);
});
