/** Lines of files that grow: whole, in order, each once, wherever the writer was interrupted. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { array, asyncProperty, assert as check, integer, string } from 'fast-check';
import { lastLineEnd, readLastLines, readWholeLines } from './wholeLines.ts';

const folder = mkdtempSync(join(tmpdir(), 'moebius-lines-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'metrics.jsonl');

const lines = array(string({ unit: 'binary', maxLength: 40 }), { maxLength: 12 }).map((all) =>
  all.map((line) => `${line.replaceAll('\n', ' ')}\n`),
);

test('readWholeLines: pieces of any size, read while it grows, are the file', async () => {
  const cases = asyncProperty(
    lines,
    integer({ min: 1, max: 64 }),
    integer({ min: 1, max: 30 }),
    async (all, maxBytes, written) => {
      const bytes = Buffer.from(all.join(''));
      writeFileSync(path, '');
      const read: Uint8Array[] = [];
      let from = 0;
      for (let at = 0; at < bytes.length || from < bytes.length; at += written) {
        appendFileSync(path, bytes.subarray(at, at + written));
        const piece = await readWholeLines(path, { from, maxBytes });
        assert.equal(piece.from, from);
        if (piece.bytes.length > 0) assert.equal(piece.bytes.at(-1), 10);
        read.push(piece.bytes);
        from = piece.next;
      }
      assert.ok(bytes.equals(Buffer.concat(read)));
    },
  );
  await check(cases, { numRuns: 60 });
});

test('readWholeLines: starts over where no line begins, and behind the end', async () => {
  writeFileSync(path, 'one\ntwo\nthr');
  const from = async (asked: number): Promise<readonly number[]> => {
    const { from: start, next, size } = await readWholeLines(path, { from: asked, maxBytes: 99 });
    return [start, next, size];
  };
  assert.deepEqual(await from(4), [4, 8, 11]);
  assert.deepEqual(await from(8), [8, 8, 11]);
  for (const wrong of [1, 3, 9, 11, 12]) assert.deepEqual(await from(wrong), [0, 8, 11]);
});

test('readLastLines and lastLineEnd: what a file ends with, half a line left out', async () => {
  const cases = asyncProperty(lines, integer({ min: 1, max: 200 }), async (all, maxBytes) => {
    const whole = Buffer.from(all.join(''));
    writeFileSync(path, Buffer.concat([whole, Buffer.from('half')]));
    assert.equal(await lastLineEnd(path), whole.length);
    const texts = await readLastLines(path, maxBytes);
    const expected: string[] = [];
    let room = maxBytes - 'half'.length;
    for (const line of all.toReversed()) {
      room -= Buffer.byteLength(line);
      if (room < 0) break;
      expected.unshift(line.slice(0, -1));
    }
    const asRead = expected.map((line) => Buffer.from(line).toString());
    assert.deepEqual(texts, asRead);
  });
  await check(cases, { numRuns: 100 });
});
