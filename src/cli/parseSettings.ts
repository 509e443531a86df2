/** The text of a YAML or JSON file that a person wrote, as data. */
import { extname } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { MoebiusError } from '../base/errors.ts';

/**
 * @param path of the file, whose ending tells the language
 * @throws config.syntax for what cannot be read: a key given twice, a bracket left open
 */
export function parseSettings(text: string, path: string): unknown {
  try {
    // JSON is YAML, but its own parser gives the better errors.
    return extname(path) === '.json' ? JSON.parse(text) : parseYaml(text);
  } catch (cause) {
    throw new MoebiusError('config.syntax', `${path} cannot be read as settings`, {
      values: { path, because: cause instanceof Error ? cause.message.trim() : String(cause) },
      hint: 'Mend the line it names.',
      cause,
    });
  }
}
