/**
 * The blocks of a latent cache as squares: who has which. A block of a prefix that several requests
 * share is cut in two colours, of the first and the last of them.
 *
 *     ■■■■□□▤▤■■   ■ a request's   ▤ nobody's, its tokens are known   □ empty
 */
import type { CacheMap } from '../../src/serving/engineClient.ts';

export type BlockState =
  | { readonly kind: 'empty' }
  | { readonly kind: 'unused' }
  /** Positions in the list of requests, ascending; several share the block. */
  | { readonly kind: 'owned'; readonly requests: readonly number[] };

export interface BlockCounts {
  readonly owned: number;
  /** Of the owned ones. */
  readonly shared: number;
  readonly unused: number;
  readonly empty: number;
}

/** By block. */
export function blockStates({ numBlocks, requests, unused }: CacheMap): readonly BlockState[] {
  const owners = new Map<number, number[]>();
  for (const [index, { blocks }] of requests.entries()) {
    for (const block of blocks) owners.set(block, [...(owners.get(block) ?? []), index]);
  }
  const kept = new Set(unused);
  return Array.from({ length: numBlocks }, (_, block): BlockState => {
    const own = owners.get(block);
    if (own !== undefined) return { kind: 'owned', requests: own };
    return { kind: kept.has(block) ? 'unused' : 'empty' };
  });
}

export function countBlocks(states: readonly BlockState[]): BlockCounts {
  let [owned, shared, unused] = [0, 0, 0];
  for (const state of states) {
    if (state.kind === 'unused') unused++;
    if (state.kind !== 'owned') continue;
    owned++;
    if (state.requests.length > 1) shared++;
  }
  return { owned, shared, unused, empty: states.length - owned - unused };
}

export interface BlockLayout {
  readonly columns: number;
  readonly rows: number;
  /** Pixels from one square to the next. */
  readonly pitch: number;
}

const LARGEST = 18;
const SMALLEST = 3;
const TALLEST = 260;

/** Squares as large as fit into the width and a moderate height. */
export function layoutBlocks(numBlocks: number, width: number): BlockLayout {
  for (let pitch = LARGEST; ; pitch--) {
    const columns = Math.max(1, Math.floor(width / pitch));
    const rows = Math.ceil(numBlocks / columns);
    if (rows * pitch <= TALLEST || pitch === SMALLEST) return { columns, rows, pitch };
  }
}

export interface BlockColors {
  readonly empty: string;
  readonly unused: string;
  /** One after another; more requests begin anew. */
  readonly requests: readonly string[];
}

export interface BlockBox {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly fill: string;
}

export function blockBoxes(
  states: readonly BlockState[],
  { columns, pitch }: BlockLayout,
  colors: BlockColors,
): readonly BlockBox[] {
  const side = pitch > 4 ? pitch - 1 : pitch;
  const colorOf = (request: number): string =>
    colors.requests[request % colors.requests.length] ?? colors.unused;
  return states.flatMap((state, block): BlockBox[] => {
    const left = (block % columns) * pitch;
    const top = Math.floor(block / columns) * pitch;
    const whole = { left, top, width: side, height: side };
    if (state.kind !== 'owned') return [{ ...whole, fill: colors[state.kind] }];
    const [first = 0] = state.requests;
    const boxes: BlockBox[] = [{ ...whole, fill: colorOf(first) }];
    if (state.requests.length > 1) {
      const half = Math.ceil(side / 2);
      const fill = colorOf(state.requests.at(-1) ?? first);
      boxes.push({ left: left + side - half, top, width: half, height: side, fill });
    }
    return boxes;
  });
}
