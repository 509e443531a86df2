/** Colours: text can be read on what it stands on, in light and in dark (WCAG 2.2, level AA). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { styleSheet } from './styleSheet.ts';

type Palette = ReadonlyMap<string, string>;

function palettes(): readonly Palette[] {
  return [...styleSheet.matchAll(/:root \{[^}]*\}/g)].map(
    ([block]) =>
      new Map(
        [...block.matchAll(/--([\w-]+): (#[\da-f]{6})/g)].map(([, name = '', value = '']) => [
          name,
          value,
        ]),
      ),
  );
}

/** Relative luminance of sRGB (WCAG 2.2). */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const share = Number.parseInt(colour.slice(start, start + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(palette: Palette, a: string, b: string): number {
  const [bright = 0, dim = 0] = [a, b]
    .map((name) => luminance(palette.get(name) ?? assert.fail(`no colour ${name}`)))
    .sort((x, y) => y - x);
  return (bright + 0.05) / (dim + 0.05);
}

test('styleSheet: text has a contrast of 4.5 to its ground, in light and in dark', () => {
  const pairs = [
    ...['text', 'muted', 'link', 'good', 'bad'].flatMap((name) => [
      [name, 'card'],
      [name, 'page'],
    ]),
    ...['forward', 'backward', 'weight', 'optimizer', 'other'].map((kind) => [`on-${kind}`, kind]),
  ];
  assert.equal(palettes().length, 2);
  for (const palette of palettes()) {
    for (const [name = '', ground = ''] of pairs) {
      const ratio = contrast(palette, name, ground);
      assert.ok(ratio >= 4.5, `${name} on ${ground}: ${ratio.toFixed(2)}`);
    }
  }
});

test('styleSheet: kinds of spans stand out from the bubble', () => {
  for (const palette of palettes()) {
    for (const kind of ['backward', 'weight', 'optimizer']) {
      assert.ok(
        contrast(palette, kind, 'bubble') >= 2.5,
        `${kind} ${contrast(palette, kind, 'bubble')}`,
      );
    }
  }
});
