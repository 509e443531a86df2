/**
 * DeepEP's published tables, every cell within 15 %, and the fit that `exchangeKernels.ts` holds
 * repeated from them. Tables: README of the first release (February 2025), of June 2025, of 2026
 * (V2), and ISCA 2025, figure 7. Bandwidths are logical: a token counts once for every node (EP8:
 * every rank) of its experts, its own included.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { h800Cluster } from '../../../tests/support/h800Cluster.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { ExpertExchange } from '../networkModel.ts';
import { createNetworkModel } from './createNetworkModel.ts';
import type { ExchangeParts } from './exchange.ts';
import { type ExchangeVersion, exchangeKernels } from './exchangeKernels.ts';

type Cell = readonly [dispatch: number, combine: number];

/** One byte a number and a float for each 128 of them; two bytes a number. */
const BYTES: Cell = [7168 + (7168 / 128) * 4, 7168 * 2];

/** GB/s by EP: 4,096 tokens, top-4 nodes, top-8 of 256 experts, 24 SMs (DeepEP's test). */
const normal: Readonly<Record<string, Readonly<Record<string, Cell>>>> = {
  'deepep-2025-02': { 8: [153, 158], 16: [43, 43], 32: [44, 47], 64: [46, 45] },
  'deepep-2025-06': { 8: [153, 158], 16: [43, 43], 32: [58, 57], 64: [51, 50] },
};
const figure7: Readonly<Record<string, Cell>> = {
  16: [43.05, 42.47],
  32: [58.02, 56.96],
  64: [50.58, 48.54],
  128: [45.34, 41.6],
};
/** Microseconds by EP: 128 tokens, top-8. */
const lowLatency: Readonly<Record<string, Readonly<Record<string, Cell>>>> = {
  'deepep-2025-02': {
    8: [163, 318],
    16: [173, 329],
    32: [182, 350],
    64: [186, 353],
    128: [192, 369],
    256: [194, 360],
  },
  'deepep-2025-06': {
    8: [77, 114],
    16: [118, 195],
    32: [155, 273],
    64: [173, 314],
    128: [192, 369],
    256: [194, 360],
  },
};
const h800 = h800Cluster();
/** The SM90 machine of V2's table is not named; 90 GB/s at EP16 need more than H800's NVLink. */
const sm90 = h800Cluster({ scaleUp: { bytesPerSecond: 450e9 } });
const sm100 = h800Cluster({ scaleUp: { bytesPerSecond: 900e9 } });
const v2: readonly { cluster: ClusterSpec; ep: number; sms: number; cell: Cell }[] = [
  { cluster: sm90, ep: 16, sms: 12, cell: [90, 81] },
  { cluster: sm90, ep: 32, sms: 6, cell: [61, 61] },
  { cluster: sm100, ep: 16, sms: 12, cell: [90, 91] },
  { cluster: sm100, ep: 8, sms: 64, cell: [726, 740] },
  { cluster: sm100, ep: 8, sms: 24, cell: [643, 675] },
];

interface Asked {
  readonly cluster: ClusterSpec;
  readonly version: ExchangeVersion;
  readonly ep: number;
  readonly tokens: number;
  readonly sms: number;
  readonly kernel: 'normal' | 'lowLatency';
}

function ask(asked: Asked, direction: 0 | 1): { parts: ExchangeParts; gigabytesPerSecond: number } {
  const exchange: ExpertExchange = {
    group: { size: asked.ep, stride: 1 },
    tokensPerRank: asked.tokens,
    bytesPerToken: BYTES[direction],
    expertsPerToken: 8,
    numExperts: 256,
    nodeLimit: 4,
    imbalance: 1,
    numSms: asked.sms,
    kernel: asked.kernel,
  };
  const model = createNetworkModel(asked.cluster, { exchangeVersion: asked.version });
  const parts = model.exchangeParts(exchange);
  const copies = parts.numNodes === 1 ? parts.spread.ranks : parts.spread.nodes;
  const bytes = copies * asked.tokens * BYTES[direction];
  return { parts, gigabytesPerSecond: bytes / parts.seconds / 1e9 };
}

const directions = [0, 1] as const;

function within(found: number, published: number, what: string): number {
  const error = found / published - 1;
  assert.ok(Math.abs(error) < 0.15, `${what}: ${found.toFixed(1)} for ${published}`);
  return error;
}

/** Every cell of the three kinds: what was asked and by how much the model is off. */
function errorsOf(version: ExchangeVersion): number[] {
  const errors: number[] = [];
  for (const [ep, cell] of Object.entries(normal[version] ?? {})) {
    const tables = version === 'deepep-2025-06' ? [cell, figure7[ep] ?? cell] : [cell];
    const asked: Asked = { ...plain(version, Number(ep)), kernel: 'normal' };
    for (const d of directions) {
      const found = ask(asked, d).gigabytesPerSecond;
      for (const table of tables) errors.push(within(found, table[d], `${version} EP${ep}`));
    }
  }
  for (const [ep, cell] of Object.entries(lowLatency[version] ?? {})) {
    const asked: Asked = { ...plain(version, Number(ep)), tokens: 128, kernel: 'lowLatency' };
    for (const d of directions) {
      const found = ask(asked, d).parts.seconds * 1e6;
      errors.push(within(found, cell[d], `${version} low latency EP${ep}`));
    }
  }
  if (version === 'deepep-v2') {
    for (const { cluster, ep, sms, cell } of v2) {
      const asked: Asked = { cluster, version, ep, sms, tokens: 8192, kernel: 'normal' };
      for (const d of directions) {
        errors.push(within(ask(asked, d).gigabytesPerSecond, cell[d], `V2 EP${ep}, ${sms} SMs`));
      }
    }
  }
  return errors;
}

function plain(version: ExchangeVersion, ep: number): Omit<Asked, 'kernel'> {
  return { cluster: h800, version, ep, tokens: 4096, sms: 24 };
}

for (const [version, count] of [
  ['deepep-2025-02', 20],
  ['deepep-2025-06', 28],
  ['deepep-v2', 10],
] as const) {
  test(`${version}: every published cell within 15 %, the printed error bar covers two in three`, (t) => {
    const errors = errorsOf(version);
    const square = errors.reduce((sum, e) => sum + e * e, 0) / errors.length;
    const most = Math.max(...errors.map(Math.abs));
    const percent = (value: number): string => `${(value * 100).toFixed(1)} %`;
    t.diagnostic(`off by ${percent(Math.sqrt(square))}, at most ${percent(most)}`);
    assert.equal(errors.length, count);
    const covered = errors.filter((e) => Math.abs(e) <= exchangeKernels[version].relativeError);
    assert.ok(covered.length >= (2 / 3) * count, `${covered.length} of ${count}`);
  });
}

test('figure 7, EP128: 45.3 and 41.6 GB/s within 15 %', () => {
  const asked: Asked = { ...plain('deepep-2025-06', 128), kernel: 'normal' };
  for (const d of directions) {
    within(ask(asked, d).gigabytesPerSecond, figure7[128]?.[d] ?? 0, 'EP128');
  }
});

test('V1 from EP32 on is bound by the NIC, EP16 by forwarding, EP8 by NVLink', () => {
  for (const [ep, bound] of [
    [8, 'scaleUpSeconds'],
    [16, 'smSeconds'],
    [32, 'nicSeconds'],
    [64, 'nicSeconds'],
  ] as const) {
    const { parts } = ask({ ...plain('deepep-2025-06', ep), kernel: 'normal' }, 0);
    assert.equal(parts[bound], Math.max(parts.nicSeconds, parts.scaleUpSeconds, parts.smSeconds));
  }
});

test('20 SMs suffice for EP64 (V3 report, 3.2.2), 12 do not', () => {
  for (const [sms, suffices] of [
    [20, true],
    [12, false],
  ] as const) {
    const { parts } = ask({ ...plain('deepep-2025-06', 64), sms, kernel: 'normal' }, 0);
    assert.equal(parts.smSeconds < parts.nicSeconds, suffices);
  }
});

/** Geometric mean, since shares multiply. */
function mean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Seconds a normal cell took, without the fixed time, from its GB/s. */
function measured(
  asked: Asked,
  published: number,
  d: 0 | 1,
): { seconds: number; parts: ExchangeParts } {
  const { parts } = ask(asked, d);
  const copies = parts.numNodes === 1 ? parts.spread.ranks : parts.spread.nodes;
  const bytes = copies * asked.tokens * BYTES[d];
  return { seconds: bytes / (published * 1e9) - parts.fixedSeconds, parts };
}

test('the fit: fixed time is the mean over the low-latency cells that share links', () => {
  const fixed: number[] = [];
  for (const ep of [8, 16, 32, 64]) {
    for (const d of directions) {
      const asked: Asked = { ...plain('deepep-2025-06', ep), tokens: 128, kernel: 'lowLatency' };
      const { parts } = ask(asked, d);
      const moving = parts.seconds - parts.fixedSeconds;
      fixed.push((lowLatency['deepep-2025-06']?.[ep]?.[d] ?? 0) * 1e-6 - moving);
    }
  }
  const average = fixed.reduce((a, b) => a + b, 0) / fixed.length;
  assert.ok(Math.abs(average / exchangeKernels['deepep-2025-06'].fixedSeconds - 1) < 0.03);
});

test('the fit: NIC shares are the means of their cells', () => {
  for (const [version, eps, tables] of [
    ['deepep-2025-02', [32, 64], [normal['deepep-2025-02']]],
    ['deepep-2025-06', [32, 64, 128], [normal['deepep-2025-06'], figure7]],
  ] as const) {
    const shares: number[] = [];
    for (const ep of eps) {
      for (const table of tables) {
        for (const d of directions) {
          const published = table?.[ep]?.[d];
          if (published === undefined) continue;
          const { seconds, parts } = measured(
            { ...plain(version, ep), kernel: 'normal' },
            published,
            d,
          );
          shares.push((parts.nicSeconds * exchangeKernels[version].nicShare) / seconds);
        }
      }
    }
    assert.ok(Math.abs(mean(shares) / exchangeKernels[version].nicShare - 1) < 0.02, version);
  }
});

test('the fit: what an SM forwards, V1 from EP16, V2 from the rows that SMs bound', () => {
  const first = directions.map((d) => {
    const asked: Asked = { ...plain('deepep-2025-06', 16), kernel: 'normal' };
    const { seconds, parts } = measured(asked, 43, d);
    return (parts.smSeconds * exchangeKernels['deepep-2025-06'].forwardBytesPerSm) / seconds;
  });
  assert.ok(Math.abs(mean(first) / exchangeKernels['deepep-2025-06'].forwardBytesPerSm - 1) < 0.01);

  const rows = [
    { cluster: sm90, ep: 16, sms: 12, published: 81, d: 1 },
    { cluster: sm100, ep: 8, sms: 24, published: 643, d: 0 },
    { cluster: sm100, ep: 8, sms: 24, published: 675, d: 1 },
  ] as const;
  const perSm = rows.map(({ published, d, ...row }) => {
    const asked: Asked = { ...row, version: 'deepep-v2', tokens: 8192, kernel: 'normal' };
    const { seconds, parts } = measured(asked, published, d);
    return (parts.smSeconds * exchangeKernels['deepep-v2'].copyBytesPerSm) / seconds;
  });
  assert.ok(Math.abs(mean(perSm) / exchangeKernels['deepep-v2'].copyBytesPerSm - 1) < 0.02);
});
