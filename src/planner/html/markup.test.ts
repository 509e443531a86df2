/** Markup: text stays text whatever it holds, in elements, attributes and data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dataScript, element, escapeText, fragment, verbatim } from './markup.ts';

test('element: no text opens a tag or leaves its attribute', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const { markup } = element('p', { title: text }, text);
      const inside = /^<p( title(?:="([^"<>]*)")?)>([^<>]*)<\/p>$/s.exec(markup);
      assert.ok(inside !== null, markup);
      assert.equal(inside[3], escapeText(text));
    }),
  );
});

test('element: escapes a script in a name, keeps our own markup, leaves null out', () => {
  const bold = element('b', { class: null }, '<script>alert("x")</script>');
  assert.equal(bold.markup, '<b>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</b>');
  assert.equal(
    fragment('a', bold, null, [1.23456, verbatim('<i>')]).markup,
    `a${bold.markup}1.23<i>`,
  );
  assert.equal(element('meta', { charset: 'utf-8' }).markup, '<meta charset="utf-8">');
  assert.equal(element('div', { hidden: '' }).markup, '<div hidden></div>');
});

test('dataScript: closes for no text, and reads back as the data', () => {
  const data = { name: '</script><img src=x onerror=y>', lines: '\u2028' };
  const { markup } = dataScript('d', data);
  assert.equal(markup.match(/<\/script>/g)?.length, 1);
  assert.ok(!markup.includes('<img'));
  const json = markup.replace(/^<script[^>]*>/, '').replace('</script>', '');
  assert.deepEqual(JSON.parse(json), data);
});
