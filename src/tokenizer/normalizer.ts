/**
 * Normalizers change a text before it is split. The byte-level family has none, or a Unicode form;
 * every other kind is refused by name rather than skipped, because skipping it changes ids.
 */
import { asArray, asObject, asString, unsupported } from './jsonFields.ts';
import { readPattern } from './splitPattern.ts';

export type Normalizer = (text: string) => string;

/** The normalizer of a file, or undefined when it changes nothing (none, or an empty sequence). */
export function readNormalizer(value: unknown, path: string): Normalizer | undefined {
  if (value === null || value === undefined) return undefined;
  const config = asObject(value, path);
  const type = asString(config.type, `${path}.type`);
  switch (type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Sequence':
      return readSequence(asArray(config.normalizers, `${path}.normalizers`), path);
    case 'Prepend': {
      const prefix = asString(config.prepend, `${path}.prepend`);
      return (text) => (text === '' ? text : prefix + text);
    }
    case 'Replace': {
      const pattern = readPattern(config.pattern, `${path}.pattern`);
      const content = asString(config.content, `${path}.content`);
      return (text) => text.replace(pattern, () => content);
    }
    default:
      throw unsupported(
        `the normalizer ${type}`,
        path,
        'Use a byte-level BPE tokenizer whose normalizer is none, NFC, NFD, NFKC, NFKD, Prepend, ' +
          'Replace or a Sequence of them.',
      );
  }
}

function readSequence(steps: readonly unknown[], path: string): Normalizer | undefined {
  const normalizers: Normalizer[] = [];
  steps.forEach((step, i) => {
    const normalizer = readNormalizer(step, `${path}.normalizers[${i}]`);
    if (normalizer !== undefined) normalizers.push(normalizer);
  });
  if (normalizers.length === 0) return undefined;
  return (text) => normalizers.reduce((current, normalize) => normalize(current), text);
}
