/** Holds every file to what STYLE.md asks and a program can see, and the documents to the code. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFiles, projectRoot, readProjectFile } from './support/projectFiles.ts';
import { languageComplaints, sourceComplaints, textComplaints } from './support/tidyRules.ts';

interface Manifest {
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
}

const manifest = JSON.parse(readProjectFile('package.json')) as Manifest;
const scripts = projectFiles('', /\.(?:[jt]s|tsx)$/);
const sources = projectFiles('', /\.(?:[jt]s|tsx|css|cpp|h|inl|def)$/);
const texts = projectFiles(
  '',
  /\.(?:[jt]s|tsx|css|html|cpp|h|inl|def|json|md|ya?ml|toml|sh|txt)$|^\.ci\//,
);
const documents = projectFiles('', /\.md$/);

test('sources: short, narrow, headed by a comment, finished, well named', () => {
  assert.ok(sources.length > 50);
  assert.deepEqual(sources.flatMap(sourceComplaints), []);
});

test('TypeScript: no any, no default export, no barrel, no silenced test or compiler', () => {
  assert.deepEqual(scripts.flatMap(languageComplaints), []);
});

test('every text: no path of one machine, no host of a package registry', () => {
  assert.deepEqual(texts.flatMap(textComplaints), []);
});

test('package.json: every dependency has an exact version', () => {
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  const versions = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
  assert.deepEqual(
    versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
    [],
  );
});

test('package-lock.json: whole, without addresses and install scripts', () => {
  const lock = JSON.parse(readProjectFile('package-lock.json')) as {
    readonly packages: Readonly<Record<string, LockEntry>>;
  };
  const { '': root, ...entries } = lock.packages;
  assert.equal(root?.version, manifest.version);
  assert.deepEqual(
    Object.entries(entries).filter(
      ([, { version, integrity, resolved, hasInstallScript }]) =>
        !version || !integrity || resolved !== undefined || hasInstallScript,
    ),
    [],
  );
});

test('package.json: no script runs on the machine of someone who installs the package', () => {
  const implicit = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'];
  assert.deepEqual(
    implicit.filter((name) => manifest.scripts[name] !== undefined),
    [],
  );
});

test('CHANGELOG.md: tells of this version', () => {
  assert.ok(readProjectFile('CHANGELOG.md').includes(`## ${manifest.version}`));
});

test('documents: every npm command they show is a script of package.json', () => {
  const builtIn = ['start', 'test', 'install', 'pack', 'ci'];
  const unknown = documents.flatMap(({ path, text }) =>
    [...codeOf(text).matchAll(/\bnpm (?:run )?([a-z][\w:-]*)/g)]
      .map((match) => match[1] ?? '')
      .filter((name) => !builtIn.includes(name) && manifest.scripts[name] === undefined)
      .map((name) => `${path}: npm run ${name}`),
  );
  assert.deepEqual(unknown, []);
});

/** What a document shows as code: its blocks and its spans between backticks. */
function codeOf(markdown: string): string {
  return (markdown.match(/^ *```[\s\S]*?^ *```|`[^`\n]+`/gm) ?? []).join('\n');
}

test('documents: every command of moebius they show exists', () => {
  const commandLine = readProjectFile('src/cli/main.ts');
  const unknown = documents.flatMap(({ path, text }) =>
    [...codeOf(text).matchAll(/\bmoebius ([a-z]+)/g)]
      .map((match) => match[1] ?? '')
      .filter((name) => !commandLine.includes(`command('${name}`))
      .map((name) => `${path}: npx moebius ${name}`),
  );
  assert.deepEqual(unknown, []);
});

test('documents: every relative link leads to a file', () => {
  const broken = documents.flatMap(({ path, text }) => {
    const folder = path.split('/').slice(0, -1).join('/');
    const prose = text.replace(/^ *```[\s\S]*?^ *```/gm, '').replace(/`[^`\n]*`/g, '');
    return [...prose.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !existsSync(join(projectRoot, folder, target)))
      .map((target) => `${path}: ${target}`);
  });
  assert.deepEqual(broken, []);
});

test('README: both languages show the same real outputs and the same measured ratios', () => {
  const [english, chinese] = ['README.md', 'README.zh-CN.md'].map(shownBlocks);
  assert.deepEqual(Object.keys(english ?? {}), [
    'output:start',
    'output:test',
    'output:serve',
    'output:plan',
    'ratios',
  ]);
  for (const [name, lines] of Object.entries(english ?? {})) {
    assert.ok(lines.length > 3, `README.md: the block ${name} has not been filled from a run`);
  }
  const { ratios, ...outputs } = english ?? {};
  const { ratios: chineseRatios, ...chineseOutputs } = chinese ?? {};
  assert.deepEqual(chineseOutputs, outputs);
  assert.deepEqual(numbersIn(chineseRatios), numbersIn(ratios));
});

/** The lines between `<!-- name -->` and `<!-- /… -->`, by name. */
function shownBlocks(path: string): Readonly<Record<string, readonly string[]>> {
  const pattern = /<!-- ([\w:]+) -->\n([\s\S]*?)<!-- \/\w+ -->/g;
  return Object.fromEntries(
    [...readProjectFile(path).matchAll(pattern)].map(([, name = '', body = '']) => [
      name,
      body.split('\n'),
    ]),
  );
}

function numbersIn(lines: readonly string[] = []): readonly string[] {
  return lines.join('\n').match(/\d+(?:[.,]\d+)*/g) ?? [];
}

// The rules hold nothing if they cannot fail: each is shown what it must refuse.

const header = '/** Says what the file is for. */\n';
const undone = ['TO', 'DO'].join('');

function reasons(complaints: readonly string[]): readonly string[] {
  return complaints.map((line) => line.replace(/^\S+:(\d+): /, '$1 '));
}

test('sourceComplaints: accepts a plain file and one behind a shebang line', () => {
  const title = `test('${'a sentence '.repeat(10)}', async () => {});`;
  const text = `${header}const short = 1;\n${title}\n`;
  assert.deepEqual(sourceComplaints({ path: 'src/base/good.ts', text }), []);
  assert.deepEqual(
    sourceComplaints({ path: 'bin/good.js', text: `#!/usr/bin/env node\n${text}` }),
    [],
  );
});

test('sourceComplaints: refuses length, width, tabs, empty names and unfinished work', () => {
  const wide = `// ${'é'.repeat(98)}`;
  const text = `const x = 1;\t\r\n// ${undone}: later\n${wide}\n${'\n'.repeat(500)}end`;
  assert.deepEqual(reasons(sourceComplaints({ path: 'src/base/dateUtils.ts', text })), [
    '503 has more than 500 lines',
    '1 does not open with a comment that says what it is for',
    '504 does not end with a line break',
    '1 has a tab',
    '1 ends with a carriage return',
    '2 is left undone',
    '3 is wider than 100 columns',
    '1 is named "Utils": name it after what it holds',
  ]);
});

test('languageComplaints: refuses what we do without, and not words in strings or comments', () => {
  const off = (word: string): string => `test.${word}('x', f);`;
  const text = [
    'const a: any = b as any;',
    'export default a;',
    "export * from './a.ts';",
    off('skip'),
    off('only'),
    "test('x', { skip: true }, f);",
    'class A extends B { constructor() { super(); } }',
    'class E extends TypeError { constructor() { super(); } }',
    "const s = 'any'; // any",
    'const p = Promise.any(list);',
    ['// @ts', 'ignore'].join('-'),
  ].join('\n');
  assert.deepEqual(reasons(languageComplaints({ path: 'x.ts', text })), [
    '1 uses the type any',
    '1 uses the type any',
    '2 has a default export',
    '3 is a barrel: export names, not *',
    '4 switches tests off',
    '5 switches tests off',
    '6 switches a test off',
    '7 inherits from a class',
    '11 silences the compiler',
  ]);
});

test('textComplaints: refuses paths of a machine and hosts of registries', () => {
  const path = ['', 'root', 'x'].join('/');
  const host = ['registry', 'example', 'org'].join('.');
  const text = `see ${path}\nsee ${host}\nsrc/work/plan.ts ~/home/x https://example.org/root/x\n`;
  assert.deepEqual(reasons(textComplaints({ path: 'x.md', text })), [
    '1 has a path of one machine',
    "2 names a package registry's host",
  ]);
});
