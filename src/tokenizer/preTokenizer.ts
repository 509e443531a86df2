/**
 * Pre-tokenizers cut a text into words, which byte-pair merging never crosses.
 *
 * A file's pre-tokenizer is read into plain steps, which run one after the other on strings.
 * DeepSeek-V3's steps have a hand-written scanner besides (`deepseekScanner.ts`), many times
 * faster. Kinds that only other families use are refused by name.
 */
import { spellBytes } from './byteAlphabet.ts';
import { DEEPSEEK_V3_PATTERNS, scanDeepseekV3 } from './deepseekScanner.ts';
import { asArray, asFlag, asObject, asString, unsupported } from './jsonFields.ts';
import { compileOniguruma } from './oniguruma.ts';
import { readBehavior, readPattern, type SplitRule, splitText } from './splitPattern.ts';

/** How a text becomes words. */
export interface WordSplitter {
  /** The words of a text, in order. */
  readonly split: (text: string) => readonly string[];
  /** Whether `split` gives words spelled in the byte alphabet, rather than as text. */
  readonly isSpelled: boolean;
  /**
   * The same words found in well-formed UTF-8, where a scanner is known: writes word ends of
   * `bytes[start … end)` until `ends` is full, and returns how many.
   */
  readonly scan:
    | ((
        bytes: Uint8Array,
        range: { readonly start: number; readonly end: number },
        ends: Int32Array,
      ) => number)
    | undefined;
}

type Step =
  | { readonly kind: 'split'; readonly rule: SplitRule; readonly source: string | undefined }
  | { readonly kind: 'bytes'; readonly addsSpace: boolean; readonly usesRegex: boolean };

/** GPT-2's words, which a ByteLevel step cuts unless told not to (Radford et al., 2019). */
const GPT2_WORDS: RegExp = compileOniguruma(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
);

/** Reads `pre_tokenizer` of a file; it must contain exactly one ByteLevel step. */
export function readPreTokenizer(value: unknown, path: string): WordSplitter {
  const steps = value === null || value === undefined ? [] : readSteps(value, path);
  const numByteSteps = steps.filter((step) => step.kind === 'bytes').length;
  if (numByteSteps !== 1) {
    throw unsupported(
      `a pre-tokenizer with ${numByteSteps} ByteLevel steps`,
      path,
      'Use a tokenizer of the byte-level BPE family: its pre_tokenizer has one ByteLevel step.',
    );
  }
  return {
    split: (text) => steps.reduce(applyStep, [text]),
    isSpelled: steps.at(-1)?.kind !== 'bytes',
    scan: isDeepseekV3(steps) ? scanDeepseekV3 : undefined,
  };
}

function readSteps(value: unknown, path: string): Step[] {
  const config = asObject(value, path);
  const type = asString(config.type, `${path}.type`);
  switch (type) {
    case 'Sequence': {
      const inner = `${path}.pretokenizers`;
      return asArray(config.pretokenizers, inner).flatMap((step, i) =>
        readSteps(step, `${inner}[${i}]`),
      );
    }
    case 'Split': {
      const pattern = readPattern(config.pattern, `${path}.pattern`);
      const behavior = readBehavior(config.behavior, `${path}.behavior`);
      const isInverted = asFlag(config.invert, `${path}.invert`, false);
      const regex = asObject(config.pattern, `${path}.pattern`).Regex;
      const source = typeof regex === 'string' ? regex : undefined;
      return [{ kind: 'split', rule: { pattern, behavior, isInverted }, source }];
    }
    case 'Digits': {
      const alone = asFlag(config.individual_digits, `${path}.individual_digits`, false);
      return [
        {
          kind: 'split',
          rule: {
            pattern: /\p{N}/gu,
            behavior: alone ? 'Isolated' : 'Contiguous',
            isInverted: false,
          },
          source: undefined,
        },
      ];
    }
    case 'Punctuation': {
      const behavior = readBehavior(config.behavior ?? 'Isolated', `${path}.behavior`);
      // Hugging Face counts ASCII symbols such as $ and + as punctuation, and no other symbols.
      const pattern = /[\p{P}!-/:-@[-`{-~]/gu;
      return [{ kind: 'split', rule: { pattern, behavior, isInverted: false }, source: undefined }];
    }
    case 'ByteLevel':
      return [
        {
          kind: 'bytes',
          addsSpace: asFlag(config.add_prefix_space, `${path}.add_prefix_space`, true),
          usesRegex: asFlag(config.use_regex, `${path}.use_regex`, true),
        },
      ];
    default:
      throw unsupported(
        `the pre-tokenizer ${type}`,
        path,
        'Use a byte-level BPE tokenizer: its pre-tokenizers are Sequence, Split, Digits, ' +
          'Punctuation and ByteLevel.',
      );
  }
}

function isDeepseekV3(steps: readonly Step[]): boolean {
  if (steps.length !== DEEPSEEK_V3_PATTERNS.length + 1) return false;
  return steps.every((step, i) => {
    if (i === DEEPSEEK_V3_PATTERNS.length) {
      return step.kind === 'bytes' && !step.addsSpace && !step.usesRegex;
    }
    return (
      step.kind === 'split' &&
      step.source === DEEPSEEK_V3_PATTERNS[i] &&
      step.rule.behavior === 'Isolated' &&
      !step.rule.isInverted
    );
  });
}

function applyStep(pieces: string[], step: Step, index: number, steps: readonly Step[]): string[] {
  if (step.kind === 'split') return pieces.flatMap((piece) => splitText(piece, step.rule));
  const words = pieces.flatMap((piece) => {
    const text = step.addsSpace && !piece.startsWith(' ') ? ` ${piece}` : piece;
    return step.usesRegex
      ? splitText(text, { pattern: GPT2_WORDS, behavior: 'Isolated', isInverted: false })
      : [text];
  });
  // Only steps that follow need the spelling; the encoder takes plain text as well.
  if (index === steps.length - 1) return words;
  const encoder = new TextEncoder();
  return words.map((word) => spellBytes(encoder.encode(word)));
}
