/**
 * The few things of a browser that the timeline's script uses, as types: our compiler knows no
 * browser, and the rooms of this project must not.
 */

/** A canvas to draw on. */
export interface Surface {
  fillStyle: string;
  strokeStyle: string;
  font: string;
  textAlign: string;
  textBaseline: string;
  lineWidth: number;
  setTransform(a: number, b: number, c: number, d: number, e: number, f: number): void;
  clearRect(x: number, y: number, width: number, height: number): void;
  fillRect(x: number, y: number, width: number, height: number): void;
  fillText(text: string, x: number, y: number): void;
  beginPath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  stroke(): void;
  clip(): void;
  save(): void;
  restore(): void;
}

interface Happening {
  readonly key: string;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly deltaY: number;
  readonly offsetX: number;
  readonly offsetY: number;
  readonly clientX: number;
  readonly pointerId: number;
  preventDefault(): void;
}

export interface Part {
  textContent: string;
  hidden: boolean;
  readonly clientWidth: number;
  readonly offsetWidth: number;
  readonly dataset: Record<string, string>;
  readonly style: Record<string, string>;
  width: number;
  height: number;
  getContext(kind: '2d'): Surface;
  addEventListener(
    kind: string,
    listener: (event: Happening) => void,
    options?: { readonly passive: boolean },
  ): void;
  querySelectorAll(selector: string): Iterable<Part>;
  setPointerCapture(id: number): void;
}

export interface Page {
  readonly documentElement: Part;
  getElementById(id: string): Part;
}

export interface Surroundings {
  readonly devicePixelRatio: number;
  getComputedStyle(part: Part): { getPropertyValue(name: string): string };
  matchMedia(query: string): Pick<Part, 'addEventListener'>;
  addEventListener: Part['addEventListener'];
}
