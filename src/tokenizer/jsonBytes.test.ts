/** Reading JSON in place, held to JSON.parse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../base/errors.ts';
import { JsonBytes } from './jsonBytes.ts';

function reader(text: string): JsonBytes {
  return new JsonBytes(new TextEncoder().encode(text), 'test.json');
}

/** Reads a whole value with the hand-written parts, as far as they go. */
function readAll(json: JsonBytes): unknown {
  if (json.isString) return readString(json);
  if (json.isArray) {
    const list: unknown[] = [];
    json.elements(() => list.push(readAll(json)));
    return list;
  }
  if (json.isObject) {
    const entries: [string, unknown][] = [];
    json.members(({ bytes, start, end }) => {
      const key = new TextDecoder().decode(bytes.subarray(start, end));
      entries.push([key, readAll(json)]);
    });
    return Object.fromEntries(entries);
  }
  const first = String.fromCharCode(json.peek());
  return /[-\d]/.test(first) ? json.number() : json.parse();
}

function readString(json: JsonBytes): string {
  const { bytes, start, end } = json.string();
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(start, end));
}

test('JsonBytes: reads what JSON.stringify writes, spaced or not', () => {
  const values = fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' });
  fc.assert(
    fc.property(values, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const json = reader(` ${text}\n`);
      assert.deepEqual(readAll(json), JSON.parse(text));
      json.finish();
      const again = reader(text);
      assert.deepEqual(again.parse(), JSON.parse(text));
      again.finish();
    }),
  );
});

test('JsonBytes: number reads ids of any size, signs, fractions and exponents', () => {
  for (const text of ['0', '7', '123456789', '12345678901', '-1', '1.5', '1e3', '0.25']) {
    const json = reader(`[${text}]`);
    json.elements(() => assert.equal(json.number(), Number(text)));
    const object = reader(`{"a": ${text} }`);
    object.members(() => assert.equal(object.number(), Number(text)));
  }
});

test('JsonBytes: every cut of a file is refused with its place', () => {
  const text = '{"a": [1, "b\\n", {"c": true}], "d": null, "e": -12.5}';
  for (let length = 0; length < text.length; length++) {
    assert.throws(
      () => {
        const json = reader(text.slice(0, length));
        readAll(json);
        json.finish();
      },
      (error: unknown) => {
        assert.ok(error instanceof MoebiusError);
        assert.equal(error.code, 'tokenizer.notJson');
        assert.match(error.message, /test\.json is not JSON: .* at byte \d+ of \d+/);
        return true;
      },
    );
  }
});

test('JsonBytes: refuses what JSON does not allow', () => {
  const wrong = ['{a:1}', '[1 2]', '[1,]', '{"a" 1}', '[01]', '["\t"]', '[1] 2', '[+1]', '[1.]'];
  for (const text of [...wrong, '["\\x"]', '[tru]', '{"a":1,}', '[1}', '[--1]']) {
    assert.throws(
      () => {
        const json = reader(text);
        readAll(json);
        json.finish();
      },
      { code: 'tokenizer.notJson' },
      text,
    );
  }
});
