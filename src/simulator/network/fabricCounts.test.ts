/** Laws: ISCA 2025, table 3 (counts exact, dollars within 1 %) and its decoding limits, 2.3.2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeLimit, paperDecodeSetting } from './decodeLimit.ts';
import {
  countFabric,
  dragonflyOfPorts,
  type Fabric,
  priceFabric,
  slimFlyOfPorts,
} from './fabricCounts.ts';

/** Endpoints, switches, links, millions of dollars, thousands of dollars an endpoint. */
const table3: readonly (readonly [Fabric, readonly [number, number, number, number, number]])[] = [
  [{ kind: 'fat-tree-2', ports: 64 }, [2048, 96, 2048, 9, 4.39]],
  [{ kind: 'multi-plane-fat-tree', ports: 64, planes: 8 }, [16_384, 768, 16_384, 72, 4.39]],
  [{ kind: 'fat-tree-3', ports: 64 }, [65_536, 5120, 131_072, 491, 7.5]],
  [{ kind: 'slim-fly', q: 28 }, [32_928, 1568, 32_928, 146, 4.4]],
  [{ kind: 'dragonfly', p: 16, a: 32, h: 16, g: 511 }, [261_632, 16_352, 384_272, 1522, 5.8]],
];

for (const [fabric, [endpoints, switches, links, millions, thousands]] of table3) {
  test(`table 3, ${fabric.kind}: counts exact, dollars within 1 %`, () => {
    const counts = countFabric(fabric);
    assert.deepEqual(
      [counts.endpoints, counts.switches, counts.links],
      [endpoints, switches, links],
    );
    assert.ok(counts.portsPerSwitch <= 64);
    const { dollars, dollarsPerEndpoint } = priceFabric(counts);
    assert.ok(Math.abs(dollars / (millions * 1e6) - 1) < 0.01, `${dollars}`);
    // 1 % of the dollars, and half of the last printed digit, $100.
    const limit = 0.01 * thousands * 1e3 + 50;
    assert.ok(Math.abs(dollarsPerEndpoint - thousands * 1e3) < limit, `${dollarsPerEndpoint}`);
  });
}

test('counts: every port of a full fat tree is used, none twice', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), (half) => {
      const ports = 2 * half;
      for (const kind of ['fat-tree-2', 'fat-tree-3'] as const) {
        const { endpoints, switches, links } = countFabric({ kind, ports });
        assert.equal(switches * ports, endpoints + 2 * links);
      }
    }),
  );
});

test('counts: the largest Slim Fly and Dragonfly of 64 ports are the table’s kind', () => {
  assert.deepEqual(slimFlyOfPorts(64), { kind: 'slim-fly', q: 28 });
  // The table has 511 groups where 513 would fit.
  assert.deepEqual(dragonflyOfPorts(64), { kind: 'dragonfly', p: 16, a: 32, h: 16, g: 513 });
});

test('counts: what is no fabric is refused with the fix', () => {
  const refused: readonly [Fabric, RegExp][] = [
    [{ kind: 'fat-tree-2', ports: 63 }, /even number/],
    [{ kind: 'fat-tree-3', ports: -4 }, /above zero/],
    [{ kind: 'slim-fly', q: 6 }, /4w/],
    [{ kind: 'dragonfly', p: 1, a: 2, h: 1, g: 4 }, /at most a × h \+ 1 = 3/],
  ];
  for (const [fabric, hint] of refused) {
    assert.throws(() => countFabric(fabric), { code: 'network.badFabric', hint });
  }
});

test('decoding limits: 120.96 µs, 14.76 ms and 67 tokens/s over 50 GB/s (ISCA 2025, 2.3.2)', () => {
  const { exchangeSeconds, secondsPerToken, tokensPerSecond } = decodeLimit({
    ...paperDecodeSetting,
    bytesPerSecond: 50e9,
  });
  assert.ok(Math.abs(exchangeSeconds - 120.96e-6) < 1e-12);
  assert.equal((secondsPerToken * 1e3).toFixed(2), '14.76');
  assert.equal(Math.floor(tokensPerSecond), 67);
});

test('decoding limits: 6.72 µs, 0.82 ms and about 1,200 tokens/s over 900 GB/s', () => {
  const { exchangeSeconds, secondsPerToken, tokensPerSecond } = decodeLimit({
    ...paperDecodeSetting,
    bytesPerSecond: 900e9,
  });
  assert.ok(Math.abs(exchangeSeconds - 6.72e-6) < 1e-12);
  assert.equal((secondsPerToken * 1e3).toFixed(2), '0.82');
  assert.ok(Math.abs(tokensPerSecond / 1200 - 1) < 0.02);
});
