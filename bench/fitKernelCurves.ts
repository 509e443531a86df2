/**
 * Fits the efficiency curves of the cost model again and prints how far they are from their tables.
 *
 *     node bench/fitKernelCurves.ts            the residuals, curve by curve
 *     node bench/fitKernelCurves.ts --write    and src/simulator/cost/curves.ts anew
 *
 * The tables lie in `data/h800-kernels` of `../shared`, or of MOEBIUS_SHARED.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FIT_FILES, type FitFiles, fitCurves } from '../src/simulator/cost/fitCurves.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { MOEBIUS_SHARED: shared = join(root, '..', 'shared') } = process.env;
const read = (file: string): string =>
  readFileSync(join(shared, 'data', 'h800-kernels', file), 'utf8');
const curves = fitCurves(
  Object.fromEntries(FIT_FILES.map((file) => [file, read(file)])) as FitFiles,
);

console.log('curve                     rows  median    90 %     rms');
for (const [name, { residuals }] of Object.entries(curves)) {
  const { count, median, p90, rms } = residuals;
  const percent = [median, p90, rms].map((each) => `${(100 * each).toFixed(1)} %`.padStart(8));
  console.log(`${name.padEnd(24)}${String(count).padStart(6)}${percent.join('')}`);
}

if (process.argv.includes('--write')) {
  const path = join(root, 'src', 'simulator', 'cost', 'curves.ts');
  const [head = ''] = readFileSync(path, 'utf8').split('export const');
  const text = JSON.stringify(rounded(curves), null, 2)
    .replaceAll(/"(\w+)":/g, '$1:')
    .replaceAll('"', "'");
  writeFileSync(path, `${head}export const curves: Curves = ${text};\n`);
  console.log('written; run `npm run format`');
}

/** Five digits are more than a table of kernels holds. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(5));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)]));
}
