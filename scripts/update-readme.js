/**
 * Puts what a command really printed into README.md and README.zh-CN.md, between `<!-- output:NAME
 * -->` and `<!-- /output -->`. tests/tidy.test.ts holds both files to the same output.
 *
 *     npm start 2>&1 | tee build/start.txt
 *     npm test 2>&1 | tee build/test.txt
 *     npx moebius plan train … | tee build/plan.txt      the command is in README.md
 *     node scripts/update-readme.js start=build/start.txt test=build/test.txt plan=build/plan.txt
 *
 * Colours, npm's own lines and what a terminal would have overwritten go; of a long output the
 * middle does, as one line that says how many lines it stands for, and of a long line its end.
 * Nothing else is touched.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../bin/launch.js';

/** Lines kept at either end: what a reader wants of a run, its setting and its result. */
const KEPT = /** @type {Record<string, { head: number, tail: number }>} */ ({
  start: { head: 38, tail: 16 },
  test: { head: 4, tail: 8 },
  plan: { head: 23, tail: 0 },
});

const MAX_COLUMNS = 120;

for (const arg of process.argv.slice(2)) {
  const [name = '', file] = arg.split('=');
  const kept = KEPT[name];
  if (!kept || !file) throw new Error(`${arg}: give start=FILE, test=FILE or plan=FILE`);
  const lines = shorten(readable(readFileSync(file, 'utf8')), kept);
  const block = `\`\`\`text\n${lines.join('\n')}\n\`\`\``;
  for (const readme of ['README.md', 'README.zh-CN.md']) replaceBlock(readme, name, block);
}

/** @param {string} raw @returns {string[]} */
function readable(raw) {
  const lines = raw
    .replaceAll(`${packageRoot}/`, '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
    .replace(/\x1b\[[\d;?]*[A-Za-z]/g, '')
    .split('\n')
    .map((line) => line.split('\r').at(-1)?.trimEnd() ?? '')
    .filter((line) => !/^npm (?:warn|notice)|^> |^setup: .*(?: …| \d+ s)$/.test(line));
  // Behind the test runner's last line it repeats what it has said.
  const last = lines.findIndex((line) => line.startsWith('ℹ duration_ms'));
  if (last >= 0) lines.length = last + 1;
  while (lines[0] === '') lines.shift();
  while (lines.at(-1) === '') lines.pop();
  return lines.map((line) =>
    line.length > MAX_COLUMNS ? `${line.slice(0, MAX_COLUMNS - 2).trimEnd()} …` : line,
  );
}

/** @param {string[]} lines @param {{ head: number, tail: number }} kept @returns {string[]} */
function shorten(lines, { head, tail }) {
  const left = lines.length - head - tail;
  if (left <= 1) return lines;
  return [
    ...lines.slice(0, head),
    `… ${left} more lines …`,
    ...(tail === 0 ? [] : lines.slice(-tail)),
  ];
}

/** @param {string} readme @param {string} name @param {string} block */
function replaceBlock(readme, name, block) {
  const path = join(packageRoot, readme);
  const text = readFileSync(path, 'utf8');
  const [open, close] = [`<!-- output:${name} -->`, '<!-- /output -->'];
  const start = text.indexOf(open);
  const end = text.indexOf(close, start);
  if (start < 0 || end < 0) throw new Error(`${readme} has no ${open} … ${close}`);
  writeFileSync(path, `${text.slice(0, start)}${open}\n${block}\n${text.slice(end)}`);
}
