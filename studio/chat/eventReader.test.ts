/** Events come out the same however the network cuts them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventReader } from './eventReader.ts';

const stream = ': hello\n\ndata: {"a":1}\n\nid: 7\ndata: two\r\ndata:lines\r\n\r\ndata: [DONE]\n\n';

test('EventReader: data of whole events, comments and other fields left out', () => {
  assert.deepEqual(new EventReader().feed(stream), ['{"a":1}', 'two\nlines', '[DONE]']);
  assert.deepEqual(new EventReader().feed('data: half'), []);
});

test('EventReader: pieces of any size give the same events', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (sizes) => {
      const reader = new EventReader();
      const events: string[] = [];
      for (let from = 0, i = 0; from < stream.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        events.push(...reader.feed(stream.slice(from, from + size)));
        from += size;
      }
      assert.deepEqual(events, ['{"a":1}', 'two\nlines', '[DONE]']);
    }),
  );
});
