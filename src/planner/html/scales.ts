/**
 * Axes: from data to pixels, and the round numbers at which to put ticks.
 */

export interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Ticks at 1, 2 or 5 times a power of ten; the domain is as given. */
export function linearScale(domain: Range, pixels: Range, numTicks = 6): Scale {
  const width = domain.to - domain.from || 1;
  const ticks = niceTicks(domain, numTicks);
  return {
    at: (value) => pixels.from + ((value - domain.from) / width) * (pixels.to - pixels.from),
    ticks,
  };
}

/** Ticks at powers of ten, and at 2 and 5 times them where the axis spans fewer than two. */
export function logScale(domain: Range, pixels: Range): Scale {
  const [low, high] = [Math.log10(domain.from), Math.log10(domain.to)];
  const width = high - low || 1;
  const steps = width < 2 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= domain.from * 0.999 && tick <= domain.to * 1.001) ticks.push(tick);
    }
  }
  return {
    at: (value) => pixels.from + ((Math.log10(value) - low) / width) * (pixels.to - pixels.from),
    ticks,
  };
}

function niceTicks({ from, to }: Range, numTicks: number): number[] {
  const rough = (to - from || 1) / numTicks;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + step * 1e-9; index++) {
    // Adding nothing makes a −0 a 0.
    ticks.push(index * step + 0);
  }
  return ticks;
}

/** A label that wants a place beside a marker. */
export interface LabelWish {
  readonly x: number;
  readonly y: number;
  /** Of the marker. */
  readonly radius: number;
  readonly width: number;
}

export interface LabelPlace {
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'end';
  /** Where a line from the marker to the label ends; null when the label stands beside it. */
  readonly leader: { readonly x: number; readonly y: number } | null;
}

/** Pixels, with `y` downwards. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const LINE = 14;

/**
 * Places labels beside their markers, first come first served: right of it, left of it, then line
 * by line below and above until nothing is covered. A label without a free place gets null.
 */
export function placeLabels(
  wishes: readonly LabelWish[],
  { bounds, obstacles }: { readonly bounds: Box; readonly obstacles: readonly Box[] },
): (LabelPlace | null)[] {
  const taken: Box[] = [...obstacles];
  const isFree = (box: Box): boolean =>
    box.left >= bounds.left &&
    box.right <= bounds.right &&
    box.top >= bounds.top &&
    box.bottom <= bounds.bottom &&
    taken.every((other) => !overlaps(box, other));
  return wishes.map(({ x, y, radius, width }) => {
    for (const shift of [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, 6, 7, 8]) {
      for (const anchor of ['start', 'end'] as const) {
        const left = anchor === 'start' ? x + radius + 5 : x - radius - 5 - width;
        const middle = y + shift * LINE;
        const box = { left, right: left + width, top: middle - 6, bottom: middle + 6 };
        if (!isFree(box)) continue;
        taken.push(box);
        const near = anchor === 'start' ? left : box.right;
        const leader = Math.abs(shift) > 1 ? { x: near, y: middle } : null;
        return { x: near, y: middle + 4, anchor, leader };
      }
    }
    return null;
  });
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Width of a text in our chart font (12 px), near enough to keep labels apart. */
export function textWidth(text: string): number {
  return [...text].length * 6.6;
}

export function boxAround(
  { x, y }: { readonly x: number; readonly y: number },
  radius: number,
): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}
