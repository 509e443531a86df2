/**
 * Where the tokens of one prompt went, looked at from both sides: the experts of a token, and the
 * tokens of an expert. Nothing here draws; what it says is the server's answer, only turned round.
 */
import { at } from '../../src/base/assert.ts';
import type { PromptRouting, RoutedToken } from '../../src/server/studio/wire.ts';
import type { HeatGrid } from '../draw/heatMap.ts';

/** Of a prompt at most; the server refuses more. */
export const MOST_TOKENS = 512;

/** An expert of a layer; `row` counts MoE layers as the answer lists them. */
export interface ExpertPlace {
  readonly row: number;
  readonly expert: number;
}

export interface Choice {
  readonly expert: number;
  readonly weight: number;
  /** Of the token's weights in this layer. */
  readonly share: number;
}

export interface LayerChoices {
  readonly row: number;
  readonly layer: number;
  /** The heaviest first. */
  readonly choices: readonly Choice[];
}

/** Every layer's experts of one token. */
export function choicesOf(routing: PromptRouting, token: number): readonly LayerChoices[] {
  return routing.layers.map((layer, row) => {
    const experts = at(at(routing.experts, row), token);
    const weights = at(at(routing.weights, row), token);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const choices = experts.map((expert, k) => {
      const weight = at(weights, k);
      return { expert, weight, share: sum > 0 ? weight / sum : 0 };
    });
    return { row, layer, choices: choices.sort((a, b) => b.weight - a.weight) };
  });
}

/** The tokens that went to an expert, in their order. */
export function tokensOf(
  { experts }: PromptRouting,
  { row, expert }: ExpertPlace,
): readonly number[] {
  return at(experts, row).flatMap((chosen, token) => (chosen.includes(expert) ? [token] : []));
}

/** How many of the prompt's tokens went to each expert: layers as rows, experts as columns. */
export function routeGrid({ experts, numExperts }: PromptRouting): HeatGrid {
  const values = new Float64Array(experts.length * numExperts);
  for (const [row, tokens] of experts.entries()) {
    for (const expert of tokens.flat()) {
      const index = row * numExperts + expert;
      values[index] = at(values, index) + 1;
    }
  }
  return { numRows: experts.length, numColumns: numExperts, values };
}

export interface RouteFacts {
  /** Experts that got a token, over all layers, and how many there are. */
  readonly used: number;
  readonly numPlaces: number;
  /** The expert with most tokens, the first of equals; null without layers. */
  readonly busiest: (ExpertPlace & { readonly layer: number; readonly tokens: number }) | null;
}

export function routeFacts(routing: PromptRouting): RouteFacts {
  const { values, numColumns } = routeGrid(routing);
  let [used, best] = [0, -1];
  for (let i = 0; i < values.length; i++) {
    if (at(values, i) > 0) used++;
    if (best < 0 || at(values, i) > at(values, best)) best = i;
  }
  const row = Math.floor(best / numColumns);
  const busiest =
    best < 0
      ? null
      : {
          row,
          expert: best % numColumns,
          layer: at(routing.layers, row),
          tokens: at(values, best),
        };
  return { used, numPlaces: values.length, busiest };
}

/** A token where spaces and ends of lines can be seen. */
export function visibleText(text: string): string {
  const shown = text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
  return shown.replace(/^ +| +$/g, (spaces) => '·'.repeat(spaces.length));
}

/**
 * What is written on each token. Where a character is spread over several tokens, each of them has
 * the character and which part of it it is: `鲸 1/3`, `鲸 2/3`, `鲸 3/3`.
 */
export function tokenLabels(tokens: readonly RoutedToken[]): readonly string[] {
  const labels = tokens.map(({ text }) => visibleText(text));
  for (let from = 0; from < tokens.length; from++) {
    let to = from;
    const bytes: number[] = [];
    // As many tokens as one character has bytes at most.
    while (to < Math.min(tokens.length, from + 4)) {
      const more = at(tokens, to).bytes;
      if (more === undefined) break;
      bytes.push(...more);
      to++;
      const text = wholeText(bytes);
      if (text === null) continue;
      const count = to - from;
      for (let i = 0; i < count; i++) labels[from + i] = `${visibleText(text)} ${i + 1}/${count}`;
      from = to - 1;
      break;
    }
  }
  return labels;
}

function wholeText(bytes: readonly number[]): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

/** Where a key leads among `count` places in a row; null for a key that leads nowhere. */
export function keyTarget(key: string, index: number, count: number): number | null {
  const last = count - 1;
  switch (key) {
    case 'ArrowRight':
    case 'ArrowDown':
      return Math.min(last, index + 1);
    case 'ArrowLeft':
    case 'ArrowUp':
      return Math.max(0, index - 1);
    case 'Home':
      return 0;
    case 'End':
      return last;
    case 'PageDown':
      return Math.min(last, index + 10);
    case 'PageUp':
      return Math.max(0, index - 10);
    default:
      return null;
  }
}

/** How the text field is read: as it is, or as what a person says in a chat. */
export type Reading = 'text' | 'chat';

/** The body of `POST serve/routing`. */
export function routingBody(text: string, reading: Reading): object {
  return reading === 'text' ? { prompt: text } : { messages: [{ role: 'user', content: text }] };
}
