/** The version that this package says it has. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../runtime/packageRoot.ts';

export function packageVersion(): string {
  const root = packageRoot();
  if (root === null) return 'unknown';
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version?: string }).version ?? 'unknown';
}
