/**
 * Holds src/ to ARCHITECTURE.md: rooms, floors, packages, Node, and the paths of its walks; and the
 * studio's page to what a browser can run of it.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import {
  fileComplaints,
  importCycles,
  parseRooms,
  parseWalks,
  presenceComplaints,
  tableComplaints,
} from './support/architecture.ts';
import { pageComplaints } from './support/pageReach.ts';
import { projectFiles, projectRoot, readProjectFile } from './support/projectFiles.ts';
import { scanSource } from './support/scanSource.ts';

const document = readProjectFile('ARCHITECTURE.md');
const rooms = parseRooms(document);
const sources = projectFiles('src', /\.ts$/);
const packages = new Set(
  Object.entries(JSON.parse(readProjectFile('package.json')) as Record<string, object>)
    .filter(([key]) => /^(?:dev|optional|peer)?dependencies$/i.test(key))
    .flatMap(([, dependencies]) => Object.keys(dependencies)),
);

test('ARCHITECTURE.md: every room imports from lower floors only', () => {
  assert.deepEqual(tableComplaints(rooms), []);
});

test('ARCHITECTURE.md: the rooms of the table are the rooms on disk', () => {
  assert.deepEqual(presenceComplaints(rooms, sources), []);
});

test('ARCHITECTURE.md: every path of a walk exists', () => {
  const paths = parseWalks(document);
  assert.ok(paths.length >= 20, `the walks name only ${paths.length} paths`);
  const isHere = (path: string): boolean =>
    existsSync(join(projectRoot, 'src', path)) || existsSync(join(projectRoot, path));
  assert.deepEqual(
    paths.filter((path) => !isHere(path)),
    [],
  );
});

test('src: every import, package and global is one that its room may have', () => {
  assert.ok(sources.length > 0);
  assert.deepEqual(
    sources.flatMap((file) => fileComplaints(file, rooms, packages)),
    [],
  );
});

test('src: no files import one another in a circle', () => {
  assert.deepEqual(importCycles(sources), []);
});

const isTest = ({ path }: { readonly path: string }): boolean => /\.test\.tsx?$/.test(path);
const page = projectFiles('studio', /\.tsx?$/).filter((file) => !isTest(file));

test('studio: the page runs nothing of src/ that needs Node, however far it reaches', () => {
  assert.ok(page.length > 40);
  const code = sources.filter((file) => !isTest(file));
  assert.deepEqual(pageComplaints(page, code, rooms), []);
});

test('src: nothing imports the page', () => {
  const outside = sources.flatMap(({ path, text }) =>
    scanSource(text)
      .imports.filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier }) => posix.join(posix.dirname(path), specifier))
      .filter((target) => target.startsWith('studio/'))
      .map((target) => `${path} imports ${target}`),
  );
  assert.deepEqual(outside, []);
});

// The laws above hold nothing if they cannot fail: each is shown what it must refuse.

const table = `
| floor | room | is | may import | touches | state |
| ----- | ---- | -- | ---------- | ------- | ----- |
| 0 | base | numbers | - | - | here |
| 1 | chat | talk | base | jinja | here |
| 2 | shell | the door | all of the above | node @clack/prompts | here |
| 3 | moon | later | base shell | - | planned |
`;
const small = parseRooms(table);
const smallPackages = new Set(['@huggingface/jinja', '@clack/prompts', 'yaml', 'fast-check']);

function complaints(path: string, text: string): readonly string[] {
  return fileComplaints({ path, text }, small, smallPackages).map((line) =>
    line.replace(/^\S+?:(\d+): /, '$1 '),
  );
}

test('parseRooms: reads floors, rows of imports and packages', () => {
  assert.deepEqual(
    small.map(({ name, floor, mayImport, touches }) => [name, floor, mayImport, touches]),
    [
      ['base', 0, [], []],
      ['chat', 1, ['base'], ['jinja']],
      ['shell', 2, ['base', 'chat'], ['node', '@clack/prompts']],
      ['moon', 3, ['base', 'shell'], []],
    ],
  );
});

test('parseRooms: refuses a document without the table and a row without a state', () => {
  assert.throws(() => parseRooms('# nothing'), /no table/);
  assert.throws(() => parseRooms(table.replace('planned', 'soon')), /unknown state "soon"/);
});

test('parseWalks: takes paths from sections about walks and writes braces out', () => {
  const walks = parseWalks(
    '## Rooms\n`no/no.ts`\n## Two walks\n`a/b.ts` → `c/{d,e}.ts` `x` `csrc/`\n',
  );
  assert.deepEqual(walks, ['a/b.ts', 'c/d.ts', 'c/e.ts', 'csrc/']);
});

test('tableComplaints: refuses imports of the same floor and of no room, and a room twice', () => {
  const text = table.replace('| base shell |', '| moon sun |') + table.split('\n')[3];
  assert.deepEqual(tableComplaints(parseRooms(text)), [
    'moon may not import moon: it is not on a lower floor',
    'moon may not import sun: it is not on a lower floor',
    'the table has base twice',
  ]);
});

test('presenceComplaints: refuses rooms that are unknown, missing or not planned', () => {
  const files = ['src/base/a.ts', 'src/chat/b.ts', 'src/moon/c.ts', 'src/sun/d.ts', 'src/index.ts'];
  assert.deepEqual(
    presenceComplaints(
      small,
      files.map((path) => ({ path, text: '' })),
    ),
    [
      'src/sun is not a room of ARCHITECTURE.md',
      'ARCHITECTURE.md has shell as "here"; on disk it is not',
      'ARCHITECTURE.md has moon as "planned"; on disk it is not',
    ],
  );
});

test('fileComplaints: refuses imports upwards in every form, types too', () => {
  const text = [
    "import type { A } from '../shell/a.ts';",
    "export { b } from '../shell/b.ts';",
    "import '../shell/c.ts';",
    "type D = import('../shell/d.ts').D;",
    "import {\n  e,\n} from '../base/e.ts';",
  ].join('\n');
  assert.deepEqual(complaints('src/chat/x.ts', text), [
    '1 chat may not import shell',
    '2 chat may not import shell',
    '3 chat may not import shell',
    '4 chat may not import shell',
  ]);
});

test('fileComplaints: refuses foreign packages, bare builtins and paths out of src', () => {
  const text = [
    "import { Template } from '@huggingface/jinja';",
    "import yaml from 'yaml';",
    "import fs from 'node:fs';",
    "import path from 'path';",
    "import left from 'left-pad/lib';",
    "import { go } from '../../bin/launch.js';",
    "import { base } from '../base/base';",
    "import { t } from './x.test.ts';",
  ].join('\n');
  assert.deepEqual(complaints('src/chat/x.ts', text), [
    '2 imports the package yaml',
    '3 imports node:fs',
    '4 write node:path',
    '5 imports left-pad, which package.json does not have',
    '6 imports bin/launch.js, outside src',
    '7 imports ../base/base without its .ts',
    '8 imports the test src/chat/x.test.ts',
  ]);
});

test('fileComplaints: refuses clocks, dice, timers and Node where the room is not node', () => {
  const text =
    'const a = Date.now() + Math.random();\nsetTimeout(f, performance.now());\nawait import(x);';
  const refused = [
    '3 imports a computed path, and the room is not node',
    '1 uses Date, and the room is not node',
    '1 uses Math.random, and the room is not node',
    '2 uses setTimeout, and the room is not node',
    '2 uses performance, and the room is not node',
  ];
  assert.deepEqual(complaints('src/chat/x.ts', text), refused);
  assert.deepEqual(complaints('src/shell/x.ts', text), []);
  assert.deepEqual(complaints('src/chat/x.test.ts', text), []);
});

test('fileComplaints: leaves names of the file alone: properties, keys, words in strings', () => {
  const text = [
    'const x = { process: 1, date: clock.performance };',
    'function f(process: number, fetch?: () => void): void {}',
    'interface Y {\n  readonly console: string;\n}',
    "const s = 'Date.now()' + `process ${'Math.random'} fetch`; // Buffer",
    'const pattern = /process|Date/;',
  ].join('\n');
  assert.deepEqual(complaints('src/chat/x.ts', text), []);
});

test('fileComplaints: holds a test to the floors, and lets it use tests/support', () => {
  const text = "import '../shell/a.ts';\nimport '../../tests/support/b.ts';\nimport 'fast-check';";
  assert.deepEqual(complaints('src/chat/x.test.ts', text), ['1 chat may not import shell']);
});

test('importCycles: finds a circle through types and leaves a diamond alone', () => {
  const files = [
    { path: 'src/a/a.ts', text: "import './b.ts'; import './c.ts';" },
    { path: 'src/a/b.ts', text: "import './d.ts';" },
    { path: 'src/a/c.ts', text: "import './d.ts';" },
    { path: 'src/a/d.ts', text: '' },
  ];
  assert.deepEqual(importCycles(files), []);
  files[3] = { path: 'src/a/d.ts', text: "import type { A } from './a.ts';" };
  assert.deepEqual(importCycles(files), ['src/a/a.ts → src/a/b.ts → src/a/d.ts → src/a/a.ts']);
});

test('pageComplaints: follows values through src/ and leaves types alone', () => {
  const files = [
    { path: 'src/base/a.ts', text: "import type { C } from '../shell/c.ts';\nimport './b.ts';" },
    { path: 'src/base/b.ts', text: "import {\n  join,\n} from 'node:path';" },
    { path: 'src/shell/c.ts', text: "import 'node:fs';" },
  ];
  const text = [
    "import type { C } from '../../src/shell/c.ts';",
    "export type {\n  D,\n} from '../../src/shell/c.ts';",
    "import { a } from '../../src/base/a.ts';",
    'export type E = 1;',
    "const c = () => import('../../src/shell/c.ts');",
  ].join('\n');
  assert.deepEqual(pageComplaints([{ path: 'studio/app/x.ts', text }], files, small), [
    'studio/app/x.ts:5 → src/base/a.ts:2 → src/base/b.ts:3 imports node:path',
    "studio/app/x.ts:7 imports src/shell/c.ts, of a room that is Node's",
  ]);
});

test('scanSource: tells code from comments, strings, templates and regular expressions', () => {
  const text = [
    "const a = '// no comment'; // import './x.ts'",
    "const b = `from './y.ts' ${c ? `from './z.ts'` : { d: '}' }} tail`;",
    "const e = 6 / 2 / 1; const f = /['\"`/*]/.test(g); import './real.ts';",
    "/* import './w.ts' */ const h = array.from('no');",
  ].join('\n');
  const { code, imports } = scanSource(text);
  assert.deepEqual(imports, [{ specifier: './real.ts', line: 3 }]);
  assert.equal(code.length, text.length);
  assert.match(code, /const e = 6 \/ 2 \/ 1; const f = \/ +\/.test\(g\);/);
  assert.match(code, /\$\{c \? ` +` : \{ d: ' ' \}\}/);
});
