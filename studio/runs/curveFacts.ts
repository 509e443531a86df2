/** A curve in a few numbers, for the table beside its picture. */
import { at } from '../../src/base/assert.ts';
import type { Curve } from './series.ts';

export interface Point {
  readonly step: number;
  readonly value: number;
}

export interface CurveFacts {
  readonly numPoints: number;
  readonly newest: Point;
  readonly least: Point;
  readonly most: Point;
}

/** Undefined for a curve without a finite value. The earliest of equal extremes counts. */
export function curveFacts(curve: Curve): CurveFacts | undefined {
  return new FactsReader().read(curve);
}

/** The facts of a curve that grows: a reading looks at the points that are new since the last. */
export class FactsReader {
  #numRead = 0;
  #newest = -1;
  #least = -1;
  #most = -1;

  read({ x, y }: Curve): CurveFacts | undefined {
    // Points were taken back: what was found may have been among them.
    if (y.length < this.#numRead) this.forget();
    for (let index = this.#numRead; index < y.length; index++) {
      const value = at(y, index);
      if (!Number.isFinite(value)) continue;
      this.#newest = index;
      if (this.#least < 0 || value < at(y, this.#least)) this.#least = index;
      if (this.#most < 0 || value > at(y, this.#most)) this.#most = index;
    }
    this.#numRead = y.length;
    if (this.#newest < 0) return undefined;
    const point = (index: number): Point => ({ step: at(x, index), value: at(y, index) });
    return {
      numPoints: y.length,
      newest: point(this.#newest),
      least: point(this.#least),
      most: point(this.#most),
    };
  }

  /** Points that were read before are others now. */
  forget(): void {
    this.#numRead = 0;
    this.#newest = -1;
    this.#least = -1;
    this.#most = -1;
  }
}
