/**
 * What the planner's pictures are made of: shapes with a tone, which is a class of `planner.css`.
 * Pictures are pure functions of a plan and a width to shapes; `pictures.tsx` makes SVG of them.
 */

export type Anchor = 'start' | 'middle' | 'end';

export type MarkShape = 'circle' | 'square' | 'triangle' | 'diamond';

export type Shape =
  | {
      readonly kind: 'bar';
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
      readonly tone: string;
      readonly title: string;
    }
  | { readonly kind: 'line'; readonly points: readonly Point[]; readonly tone: string }
  | {
      readonly kind: 'text';
      readonly x: number;
      readonly y: number;
      readonly text: string;
      readonly anchor: Anchor;
      readonly tone: string;
    }
  | {
      readonly kind: 'mark';
      readonly shape: MarkShape;
      readonly x: number;
      readonly y: number;
      readonly size: number;
      readonly tone: string;
      readonly title: string;
    };

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly shapes: readonly Shape[];
}

export function textAt({ x, y }: Point, text: string, anchor: Anchor): Shape {
  return { kind: 'text', x, y, text, anchor, tone: 'words' };
}

export function ticksFor(width: number): number {
  return width > 500 ? 8 : 4;
}
