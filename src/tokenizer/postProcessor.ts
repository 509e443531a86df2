/** What a file puts around an encoded text (post-processor), and how it turns tokens to text. */
import { MoebiusError } from '../base/errors.ts';
import {
  asArray,
  asObject,
  asString,
  type JsonObject,
  unsupported,
  wrongShape,
} from './jsonFields.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Ids that `addSpecialTokens: 'template'` puts before and after a text. */
export interface Affixes {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

const NONE: Affixes = { prefix: [], suffix: [] };

/** Reads `post_processor`: none, ByteLevel (which trims offsets), a template, or a sequence. */
export function readPostProcessor(value: unknown, path: string, vocabulary: Vocabulary): Affixes {
  if (value === null || value === undefined) return NONE;
  const config = asObject(value, path);
  const type = asString(config.type, `${path}.type`);
  switch (type) {
    case 'ByteLevel':
      return NONE;
    case 'TemplateProcessing':
      return readTemplate(config, path, vocabulary);
    case 'RobertaProcessing':
      return {
        prefix: [endToken(config.cls, `${path}.cls`, vocabulary)],
        suffix: [endToken(config.sep, `${path}.sep`, vocabulary)],
      };
    case 'Sequence': {
      const inner = `${path}.processors`;
      return asArray(config.processors, inner).reduce<Affixes>((around, step, i) => {
        const { prefix, suffix } = readPostProcessor(step, `${inner}[${i}]`, vocabulary);
        return { prefix: [...prefix, ...around.prefix], suffix: [...around.suffix, ...suffix] };
      }, NONE);
    }
    default:
      throw unsupported(
        `the post-processor ${type}`,
        path,
        'Use ByteLevel, TemplateProcessing, RobertaProcessing or a Sequence of them.',
      );
  }
}

/** `single` lists special tokens around one `Sequence A`; pairs of texts are not used here. */
function readTemplate(config: JsonObject, path: string, vocabulary: Vocabulary): Affixes {
  const known = asObject(config.special_tokens, `${path}.special_tokens`);
  const prefix: number[] = [];
  const suffix: number[] = [];
  let ids = prefix;
  asArray(config.single, `${path}.single`).forEach((item, i) => {
    const place = `${path}.single[${i}]`;
    const part = asObject(item, place);
    if (part.Sequence !== undefined) {
      if (ids === suffix) throw wrongShape(item, place, 'a special token after the text');
      ids = suffix;
      return;
    }
    const name = asString(asObject(part.SpecialToken, place).id, `${place}.SpecialToken.id`);
    const entry = asObject(known[name], `${path}.special_tokens.${name}`);
    for (const id of asArray(entry.ids, `${path}.special_tokens.${name}.ids`)) {
      ids.push(knownId(id, place, vocabulary));
    }
  });
  if (ids === prefix) throw wrongShape(config.single, `${path}.single`, 'a template with a text');
  return { prefix, suffix };
}

/** `["<s>", 0]`. */
function endToken(value: unknown, path: string, vocabulary: Vocabulary): number {
  return knownId(asArray(value, path)[1], path, vocabulary);
}

function knownId(id: unknown, path: string, vocabulary: Vocabulary): number {
  if (typeof id === 'number' && vocabulary.has(id)) return id;
  throw new MoebiusError(
    'tokenizer.unknownToken',
    `${path} names the id ${String(id)}, which no token has`,
    {
      values: { path, id },
      hint: 'Add the token to added_tokens, or take it out of the template.',
    },
  );
}

/** Only the byte-level decoder gives back exactly the bytes that went in. */
export function checkDecoder(value: unknown, path: string): void {
  const config = asObject(value, path);
  const type = asString(config.type, `${path}.type`);
  if (type === 'ByteLevel') return;
  if (type === 'Sequence') {
    const inner = `${path}.decoders`;
    const steps = asArray(config.decoders, inner);
    if (steps.length === 1) {
      checkDecoder(steps[0], `${inner}[0]`);
      return;
    }
  }
  throw unsupported(`the decoder ${type}`, path, 'Use a byte-level BPE tokenizer.');
}
