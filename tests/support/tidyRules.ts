/**
 * The rules of STYLE.md that a program can check, each as a function from a file to complaints.
 * What the compiler and the linter already refuse (enums, unused names, formatting) is left to
 * them.
 */
import type { ProjectFile } from './projectFiles.ts';
import { lineAt, scanSource } from './scanSource.ts';

const MAX_LINES = 500;
const MAX_COLUMNS = 100;

/** A test is named by a sentence, which the formatter leaves on its line however long. */
const TEST_TITLE = /^\s*(?:test\()?(['"`]).*\1, (?:async )?\(?/;

/** A file's name may say what it is for; these words say that nobody knew. */
const EMPTY_NAMES = /^(?:utils?|helpers?|common|misc|stuff|shared)$/i;

/** Source in any of our languages. */
export function sourceComplaints(file: ProjectFile): readonly string[] {
  const lines = file.text.split('\n');
  const complaints: string[] = [];
  const add = (line: number, reason: string): unknown =>
    complaints.push(`${file.path}:${line}: ${reason}`);

  if (lines.length - 1 > MAX_LINES) add(lines.length - 1, `has more than ${MAX_LINES} lines`);
  if (!hasHeader(file.text)) add(1, 'does not open with a comment that says what it is for');
  if (!file.text.endsWith('\n')) add(lines.length, 'does not end with a line break');
  for (const [index, line] of lines.entries()) {
    const isWide = [...line].length > MAX_COLUMNS && !TEST_TITLE.test(line);
    if (isWide) add(index + 1, `is wider than ${MAX_COLUMNS} columns`);
    if (line.includes('\t')) add(index + 1, 'has a tab');
    if (line.endsWith('\r')) add(index + 1, 'ends with a carriage return');
    if (UNDONE.test(line)) add(index + 1, 'is left undone');
  }
  const name = file.path.split('/').at(-1)?.split('.')[0] ?? '';
  const words = name.split(/(?=[A-Z])|[-_]/);
  const empty = words.find((word) => EMPTY_NAMES.test(word));
  if (empty !== undefined) add(1, `is named "${empty}": name it after what it holds`);
  return complaints;
}

// Written in pieces, or this file would be the first that it complains about.
const UNDONE = new RegExp(
  `\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`,
);

/** A comment of at least a few words before anything else. */
function hasHeader(text: string): boolean {
  const start = text.replace(/^#!.*\n/, '');
  const [comment = ''] = /^(?:\/\*[\s\S]*?\*\/|(?:\/\/.*\n)+)/.exec(start) ?? [];
  return (comment.match(/[\p{L}\d]{2,}/gu) ?? []).length >= 4;
}

/** Patterns that no TypeScript of ours may have, matched on code without comments and strings. */
const UNWANTED: readonly (readonly [RegExp, string])[] = [
  [/(?<![.\w$#])any(?![\w$]|\s*[:(])/g, 'uses the type any'],
  [/\bexport\s+default\b/g, 'has a default export'],
  [/\bexport\s+\*/g, 'is a barrel: export names, not *'],
  [/\.(?:only|skip|todo)\s*\(/g, 'switches tests off'],
  [/\b(?:only|skip|todo):\s*true\b/g, 'switches a test off'],
  [/\bextends\s+(?!\w*Error\b)\w+[^{}()=?]*\{(?=[^}]*\bconstructor\b)/g, 'inherits from a class'],
];

/** TypeScript and JavaScript: the language that we do without. */
export function languageComplaints(file: ProjectFile): readonly string[] {
  const { code } = scanSource(file.text);
  const complaints = UNWANTED.flatMap(([pattern, reason]) =>
    [...code.matchAll(pattern)].map(
      (match) => `${file.path}:${lineAt(code, match.index)}: ${reason}`,
    ),
  );
  const silenced = [...file.text.matchAll(SILENCED)].map(
    (match) => `${file.path}:${lineAt(file.text, match.index)}: silences the compiler`,
  );
  return [...complaints, ...silenced];
}

const SILENCED = new RegExp(`@ts-(?:${['ignore', 'nocheck', 'expect-error'].join('|')})\\b`, 'g');

/** Text of any kind: what names a machine of ours has no place in a repository. */
export function textComplaints(file: ProjectFile): readonly string[] {
  return file.text.split('\n').flatMap((line, index) => {
    const at = `${file.path}:${index + 1}`;
    return [
      ...(MACHINE_PATH.test(line) ? [`${at}: has a path of one machine`] : []),
      ...(REGISTRY.test(line) ? [`${at}: names a package registry's host`] : []),
    ];
  });
}

const MACHINE_PATH = new RegExp(
  `(?<![\\w.~*-])/(?:${['work', 'root', 'home', 'Users'].join('|')})/`,
);
const REGISTRY = /\bregistry\.\w+\.\w+|\b\w+\.debian\.org|\bpypi\.org|\bfiles\.pythonhosted\./;
