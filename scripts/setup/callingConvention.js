/**
 * How TypeScript and the C++ kernels call each other, as hashes: of each operation, what it reads
 * in which order, and of the whole. The build writes them into the addon,
 * `src/kernels/compiled/convention.ts` keeps those that TypeScript was written for, and an addon
 * with others is refused where it is loaded: one that was called all the same would take a count
 * for an address.
 *
 * An operation's part is its comment `// args:` and the reads themselves, with the names they are
 * given and without types, so that an edit of its arithmetic changes nothing:
 *
 *     args: x, factor | x matrix, factor real
 *
 * Run as a program it prints the flags that the binding is compiled with.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ whole: string, operations: Readonly<Record<string, string>> }} Convention
 *   hashes of 8 hexadecimal digits; operations in the order of their numbers
 */

/** What is compiled into the addon beside the operations and decides how it is called. */
const BINDING = ['addon.cpp', 'kernels.h', 'operation.h'];

/**
 * @param {string} root the package's folder
 * @returns {Convention}
 */
export function callingConvention(root) {
  const folder = join(root, 'csrc');
  const read = (/** @type {string} */ name) => fs.readFileSync(join(folder, name), 'utf8');
  const names = fs.existsSync(folder) ? fs.readdirSync(folder).sort() : [];
  const texts = names.filter((name) => name.endsWith('.inl')).map(read);
  const table = names.includes('operations.def') ? read('operations.def') : '';
  const operations = Object.fromEntries(
    [...table.matchAll(/^OPERATION\((\w+)\)/gm)].map(([, name = '']) => [
      name,
      hashOf([signatureOf(name, texts)]),
    ]),
  );
  const binding = BINDING.filter((name) => names.includes(name)).map((name) => bare(read(name)));
  return { whole: hashOf([JSON.stringify(operations), ...binding]), operations };
}

/**
 * What the binding is compiled with, so that an addon says what it was built from.
 *
 * @param {string} root @returns {string[]}
 */
export function conventionFlags(root) {
  const { whole, operations } = callingConvention(root);
  const signatures = Object.values(operations).map((hash) => `"${hash}"`);
  return [`-DMOEBIUS_CONVENTION="${whole}"`, `-DMOEBIUS_SIGNATURES=${signatures.join(',')}`];
}

/**
 * @param {string} name of an operation
 * @param {readonly string[]} texts of all operations
 * @returns {string}
 */
export function signatureOf(name, texts) {
  const head = new RegExp(`((?:^//.*\\n)*)^void ${name}\\(const Context&.*\\{\\n([^]*?)^\\}`, 'm');
  for (const text of texts) {
    const [found, comment = '', body = ''] = head.exec(text) ?? [];
    if (found !== undefined) {
      const words = comment
        .replace(/^\/\/ ?/gm, '')
        .replace(/\s+/g, ' ')
        .trim();
      return `${words} | ${readsOf(body, texts).join(', ')}`;
    }
  }
  throw new Error(`No .inl file of csrc has the operation ${name}.`);
}

/**
 * What a piece of code reads: of `const auto q = args.matrix<const float>();` it is `q matrix`.
 *
 * @param {string} code @param {readonly string[]} texts where structs that read for themselves are
 * @returns {string[]}
 */
function readsOf(code, texts) {
  const one = /(?:(\w+)(?: = |\())?(?:\w+\()?\bargs\.(\w+)|\b([A-Z]\w+) \w+\(args\)/g;
  return [...bare(code).matchAll(one)].flatMap(([, name, kind = '', struct]) => {
    if (struct === undefined) return [name === undefined ? kind : `${name} ${kind}`];
    const own = new RegExp(`explicit ${struct}\\(Args& args\\)([^]*?)\\{`);
    const [found] = texts.flatMap((text) => own.exec(text)?.[1] ?? []);
    if (found === undefined) throw new Error(`No ${struct}(Args& args) in csrc.`);
    return readsOf(found, texts);
  });
}

/** Without comments and empty lines. */
function bare(/** @type {string} */ text) {
  return text.replace(/\s*(?:\/\/.*)?$/gm, '');
}

/** @param {readonly string[]} parts */
function hashOf(parts) {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 8);
}

const program = process.argv[1] ?? '';
const own = fileURLToPath(import.meta.url);
if (fs.existsSync(program) && fs.realpathSync(program) === own) {
  console.log(conventionFlags(dirname(dirname(dirname(own)))).join(' '));
}
