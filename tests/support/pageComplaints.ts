/** The checks of `pageChecks.js`, run in an open page. */
import type { Page } from 'playwright-core';
import { readProjectFile } from './projectFiles.ts';

export type PageCheck =
  | 'contrast'
  | 'names'
  | 'frame'
  | 'pictures'
  | 'targets'
  | 'sideways'
  | 'words';

export const PAGE_CHECKS: readonly PageCheck[] = [
  ...(['contrast', 'names', 'frame', 'pictures', 'targets', 'sideways', 'words'] as const),
];

const source = readProjectFile('tests/support/pageChecks.js');

/** What these checks have against the page, each line under the check's name. */
export async function pageComplaintsOf(
  page: Page,
  checks: readonly PageCheck[] = PAGE_CHECKS,
): Promise<readonly string[]> {
  const run = `(() => { ${source}
    return ${JSON.stringify(checks)}.flatMap((check) =>
      globalThis.pageChecks[check]().map((line) => check + ': ' + line)); })()`;
  return (await page.evaluate(run)) as string[];
}
