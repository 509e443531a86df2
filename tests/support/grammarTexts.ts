/** Vocabularies and walks for tests of grammars. */
import type {
  CompiledGrammar,
  GrammarMatcher,
  GrammarVocabulary,
} from '../../src/grammar/grammar.ts';

const utf8 = new TextEncoder();

/** Every byte is the token of its value; then these, then an end token, then control tokens. */
export interface TestVocabulary extends GrammarVocabulary {
  readonly endId: number;
  readonly tokens: readonly (Uint8Array | null)[];
}

export function testVocabulary(
  extra: readonly (Uint8Array | string)[],
  controls: readonly string[] = [],
): TestVocabulary {
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  const more = extra.map((one) => (typeof one === 'string' ? utf8.encode(one) : one));
  const texts = [...bytes, ...more];
  const tokens = [...texts, null, ...controls.map(() => null)];
  const endId = texts.length;
  return {
    size: tokens.length,
    endId,
    tokens,
    bytesOf: (id) => tokens[id] ?? null,
    controlToken: (text) => {
      const index = controls.indexOf(text);
      return index < 0 ? undefined : endId + 1 + index;
    },
    endIds: new Set([endId]),
  };
}

/** Whether the grammar takes the whole text, byte by byte. */
export function takes(grammar: CompiledGrammar, text: string | Uint8Array): boolean {
  const matcher = grammar.start();
  const bytes = typeof text === 'string' ? utf8.encode(text) : text;
  for (const byte of bytes) if (!matcher.accept(byte)) return false;
  return matcher.mayEnd;
}

export function maskOf(matcher: GrammarMatcher, size: number): readonly number[] {
  const mask = new Uint32Array((size + 31) >>> 5).fill(0xffffffff);
  matcher.fillMask(mask);
  const ids: number[] = [];
  for (let id = 0; id < mask.length * 32; id++) {
    if ((((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1) ids.push(id);
  }
  return ids;
}

/** By the definition: tokens that a clone accepts. */
export function acceptedBy(matcher: GrammarMatcher, size: number): readonly number[] {
  return Array.from({ length: size }, (_, id) => id).filter((id) => matcher.clone().accept(id));
}

export interface Walk {
  readonly grammar: CompiledGrammar;
  readonly vocabulary: TestVocabulary;
  /** Of the allowed tokens, in order, the one to take. */
  readonly pick: (numAllowed: number) => number;
  /** Looked at before each step. */
  readonly look?: (matcher: GrammarMatcher, allowed: readonly number[]) => void;
  readonly maxSteps: number;
}

/** A text of random tokens that masks allow; null where it did not end in time. */
export function sampleText({ grammar, vocabulary, pick, look, maxSteps }: Walk): string | null {
  const matcher = grammar.start();
  const bytes: number[] = [];
  for (let step = 0; step < maxSteps; step++) {
    const allowed = maskOf(matcher, vocabulary.size);
    look?.(matcher, allowed);
    const isOverdue = matcher.mayEnd && step > maxSteps / 2;
    const id = isOverdue ? vocabulary.endId : (allowed[pick(allowed.length)] ?? -1);
    if (!matcher.accept(id)) throw new Error(`the mask allows ${id}, accept does not`);
    if (id === vocabulary.endId) {
      return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
    }
    bytes.push(...(vocabulary.tokens[id] ?? []));
  }
  return null;
}
