/**
 * Writes down how the C++ kernels are called now, after a change to what they read:
 *
 *     node scripts/update-convention.js
 *
 * `src/kernels/compiled/convention.ts` is what TypeScript holds an addon to. A test holds it to the
 * sources, so that nobody changes one side alone.
 */
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callingConvention } from './setup/callingConvention.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = join(root, 'src', 'kernels', 'compiled', 'convention.ts');
const { whole, operations } = callingConvention(root);
const lines = Object.entries(operations).map(([name, hash]) => `    ${name}: '${hash}',\n`);
const text = fs.readFileSync(path, 'utf8');
const start = text.indexOf('export const CALLING_CONVENTION');
fs.writeFileSync(
  path,
  `${text.slice(0, start)}export const CALLING_CONVENTION: CallingConvention = {
  whole: '${whole}',
  operations: {
${lines.join('')}  },
};
`,
);
