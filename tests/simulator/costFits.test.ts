/**
 * The stored efficiency curves are what the fit makes of kernel tables, and of nothing else: the
 * fit gets texts by an allow list, its code can open no file, and no file of the cost model names
 * DeepSeek's training trace. Where `../shared` (or `MOEBIUS_SHARED`) is, the fit is run again.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { curves } from '../../src/simulator/cost/curves.ts';
import { FIT_FILES, type FitFiles, fitCurves } from '../../src/simulator/cost/fitCurves.ts';
import * as published from '../../src/simulator/cost/publishedKernels.ts';
import { projectRoot } from '../support/projectFiles.ts';

const { MOEBIUS_SHARED: shared = join(projectRoot, '..', 'shared') } = process.env;
const tables = join(shared, 'data', 'h800-kernels');
const skip = existsSync(tables) ? false : `no ${tables}: the stored curves are taken as they are`;
const room = join(projectRoot, 'src', 'simulator', 'cost');

function readAllowed(): FitFiles {
  const texts = FIT_FILES.map((file) => [file, readFileSync(join(tables, file), 'utf8')]);
  return Object.fromEntries(texts) as FitFiles;
}

test('fitCurves: run again, it makes the stored curves', { skip }, () => {
  const again: unknown = fitCurves(readAllowed());
  assertClose(curves, again, 'curves');
});

/** Five digits are stored; the simplex stops within them. */
function assertClose(stored: unknown, made: unknown, path: string): void {
  if (typeof stored === 'number' && typeof made === 'number') {
    const near = Math.abs(stored - made) <= 1e-4 * Math.abs(made) + 1e-20;
    assert.ok(near, `${path}: stored ${stored}, the fit gives ${made}`);
    return;
  }
  if (typeof stored !== 'object' || stored === null) {
    assert.equal(stored, made, path);
    return;
  }
  for (const [key, value] of Object.entries(stored)) {
    assertClose(value, (made as Record<string, unknown>)[key], `${path}.${key}`);
  }
}

test('fitCurves: its inputs are kernel tables, by an allow list', () => {
  assert.deepEqual([...FIT_FILES].sort(), [
    'gemm.csv',
    'grouped-gemm-decode.csv',
    'grouped-gemm-prefill.csv',
    'mla-prefill.csv',
  ]);
});

test('fitCurves: what it imports, file by file, can open nothing and knows no other source', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const text = readFileSync(path, 'utf8');
    assert.doesNotMatch(text, /node:|\bfetch\b|ByteSource|import\(/, path);
    for (const [, target = ''] of text.matchAll(/from '(\.[^']+)'/g)) {
      visit(join(dirname(path), target));
    }
  };
  visit(join(room, 'fitCurves.ts'));
  const names = [...seen].map((path) => path.slice(projectRoot.length + 1)).sort();
  assert.deepEqual(names, [
    'src/base/assert.ts',
    'src/simulator/cost/fitCurves.ts',
    'src/simulator/cost/minimise.ts',
    'src/simulator/cost/productTime.ts',
    'src/simulator/cost/publishedKernels.ts',
  ]);
});

test('No file of the cost model names the training trace or holds a number of it', () => {
  // Totals and parts of the trace in µs and ms, steps of the paper's table in seconds.
  const forbidden = /profile-data|train-trace|129\.0|124\.3|114\.5|19\.926|19\.946|13\.95|32,?756/;
  for (const file of readdirSync(room).filter((name) => !name.endsWith('.test.ts'))) {
    assert.doesNotMatch(readFileSync(join(room, file), 'utf8'), forbidden, file);
  }
});

test('The published DeepGEMM tables are those of the collected figures', { skip }, () => {
  const figures = JSON.parse(
    readFileSync(join(shared, 'reference', 'published-figures.json'), 'utf8'),
  ) as {
    tables: {
      deepgemm: {
        dense: number[][];
        grouped_contiguous: { rows: number[][] };
        grouped_masked: { rows: number[][] };
      };
    };
  };
  const { dense, grouped_contiguous, grouped_masked } = figures.tables.deepgemm;
  const rows = (list: readonly published.PublishedProduct[]): number[][] =>
    list.map(({ groups, m, n, k, teraflops }) => [groups, m, n, k, teraflops]);
  const withoutBandwidth = (list: readonly number[][]): number[][] =>
    list.map((row) => row.slice(0, -1));
  assert.deepEqual(
    rows(published.deepGemmDense).map((row) => row.slice(1)),
    withoutBandwidth(dense),
  );
  assert.deepEqual(rows(published.deepGemmContiguous), withoutBandwidth(grouped_contiguous.rows));
  assert.deepEqual(rows(published.deepGemmMasked), withoutBandwidth(grouped_masked.rows));
});

test('The curves meet their tables: residuals are as small as the report says', () => {
  const bounds: Readonly<Record<keyof typeof curves, { median: number; p90: number }>> = {
    fp8First: { median: 0.03, p90: 0.1 },
    fp8Later: { median: 0.08, p90: 0.2 },
    fp8GroupedFirst: { median: 0.03, p90: 0.1 },
    fp8GroupedLater: { median: 0.05, p90: 0.17 },
    // Batches of a few tokens per expert take 20 to 270 µs; nothing in training is like them.
    fp8MaskedLater: { median: 0.06, p90: 0.28 },
    fp8WeightGradientFirst: { median: 0.01, p90: 0.02 },
    fp8WeightGradientLater: { median: 0.01, p90: 0.02 },
    bf16: { median: 0.02, p90: 0.03 },
    attentionForward: { median: 0.01, p90: 0.07 },
    attentionBackward: { median: 0.02, p90: 0.03 },
    castLater: { median: 0.02, p90: 0.04 },
    // One row of an odd width (5,440) is slower than its neighbours.
    castFirst: { median: 0.06, p90: 0.23 },
  };
  for (const [name, { residuals }] of Object.entries(curves)) {
    const bound = bounds[name as keyof typeof curves];
    assert.ok(residuals.median <= bound.median, `${name}: median ${residuals.median}`);
    assert.ok(residuals.p90 <= bound.p90, `${name}: 90 % ${residuals.p90}`);
  }
});
