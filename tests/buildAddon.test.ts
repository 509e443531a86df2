/** The addon's build: from sources to a loadable file, rebuilt when and only when it must be. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { projectRoot } from './support/projectFiles.ts';
import {
  type Addon,
  type AddonBuilder,
  importScript,
  runProgram,
  scriptUrl,
  temporaryFolder,
} from './support/scripts.ts';

const { ensureAddon } = await importScript<AddonBuilder>('scripts/build-addon.js');

const compiler = await runProgram('sh', ['-c', 'command -v $CXX c++ g++ clang++']);
const needsCompiler = { skip: compiler.stdout === '' && 'no C++ compiler (Debian: g++)' };

const BINDING = `
#include <node_api.h>
#include "value.h"
extern "C" int fromUnit();
NAPI_MODULE_INIT() {
  napi_value number;
  napi_create_int32(env, VALUE + fromUnit(), &number);
  napi_set_named_property(env, exports, "value", number);
  return exports;
}
`;

/** A package of two units and a header, whose addon exports `value`, 40 + 2. */
function writePackage(context: TestContext): string {
  const root = temporaryFolder(context);
  mkdirSync(join(root, 'csrc'));
  symlinkSync(join(projectRoot, 'node_modules'), join(root, 'node_modules'));
  writeFileSync(join(root, 'package.json'), '{}');
  writeFileSync(join(root, 'csrc', 'value.h'), '#define VALUE 40\n');
  writeFileSync(join(root, 'csrc', 'addon.cpp'), BINDING);
  writeUnit(root, 'return 2;');
  return root;
}

function writeUnit(root: string, body: string): void {
  const text = `extern "C" int fromUnit();\nint fromUnit() { ${body} }\n`;
  writeFileSync(join(root, 'csrc', 'unit.cpp'), text);
}

/** In a process of its own: Node loads an addon of one path once and for all. */
async function exportedValue(addon: Addon): Promise<number> {
  assert.equal(addon.kind, 'ready', JSON.stringify(addon));
  const script = `console.log(require(${JSON.stringify(addon.path)}).value)`;
  return Number((await runProgram(process.execPath, ['-e', script])).stdout);
}

const NO_PROGRAMS = { PATH: '/no/such/folder', CXX: undefined };

/** `ensureAddon` in another process, whose environment differs from ours. */
async function ensureElsewhere(
  root: string,
  changes: Readonly<Record<string, string | undefined>>,
): Promise<Addon> {
  const script = `const { ensureAddon } = await import(process.argv[1]);
    console.log(JSON.stringify(await ensureAddon({ root: process.argv[2] })));`;
  const args = ['--input-type=module', '-e', script, scriptUrl('scripts/build-addon.js'), root];
  const env = { ...process.env, ...changes };
  const { stdout, stderr } = await runProgram(process.execPath, args, { env });
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as Addon;
}

function objectsOf(root: string): readonly string[] {
  return readdirSync(join(root, 'build', 'objects')).sort();
}

test('ensureAddon: builds once, and the addon loads', needsCompiler, async (context) => {
  const root = writePackage(context);
  const first = await ensureAddon({ root });
  assert.equal(await exportedValue(first), 42);
  assert.deepEqual(first, {
    ...first,
    path: join(root, 'build/Release/moebius.node'),
    isNew: true,
  });
  const second = await ensureAddon({ root });
  assert.equal(second.kind === 'ready' && second.isNew, false);
});

test(
  'ensureAddon: an edited unit is compiled alone, a header means all',
  needsCompiler,
  async (context) => {
    const root = writePackage(context);
    await ensureAddon({ root });
    const before = objectsOf(root);
    assert.equal(before.length, 2);
    writeUnit(root, 'return 3;');
    assert.equal(await exportedValue(await ensureAddon({ root })), 43);
    const afterUnit = objectsOf(root);
    assert.equal(afterUnit.length, 3);
    writeFileSync(join(root, 'csrc', 'value.h'), '#define VALUE 50\n');
    assert.equal(await exportedValue(await ensureAddon({ root })), 53);
    assert.equal(objectsOf(root).length, 5);
  },
);

test(
  "ensureAddon: tells the compiler's own words and keeps the last addon that was whole",
  needsCompiler,
  async (context) => {
    const root = writePackage(context);
    const good = await ensureAddon({ root });
    writeUnit(root, 'return nothing;');
    const bad = await ensureAddon({ root });
    assert.equal(bad.kind, 'unavailable');
    assert.match(bad.hint, /unit\.cpp:2:\d+: error: .*nothing/);
    assert.equal(await exportedValue(good), 42);
    writeUnit(root, 'return 2;');
    const again = await ensureAddon({ root });
    assert.equal(await exportedValue(again), 42);
  },
);

test(
  'ensureAddon: processes that start at once make one whole addon',
  needsCompiler,
  async (context) => {
    const root = writePackage(context);
    const addons = await Promise.all([1, 2, 3].map(() => ensureElsewhere(root, {})));
    const news = addons.map((addon) => addon.kind === 'ready' && addon.isNew);
    assert.deepEqual(news.sort(), [false, false, true]);
    assert.equal(await exportedValue(await ensureAddon({ root })), 42);
    assert.deepEqual(readdirSync(join(root, 'build/Release')), ['moebius.json', 'moebius.node']);
  },
);

test(
  'ensureAddon: a package that may not be written is built in the cache',
  needsCompiler,
  async (context) => {
    const root = writePackage(context);
    // A file where the folder would be: it stops root too, whom no permission stops.
    writeFileSync(join(root, 'build'), '');
    const cache = join(root, 'cache');
    const addon = await ensureElsewhere(root, { XDG_CACHE_HOME: cache });
    assert.ok(addon.kind === 'ready' && addon.path.startsWith(join(cache, 'moebius')));
    assert.equal(await exportedValue(addon), 42);
  },
);

test('ensureAddon: without a compiler says so, and what to install', async (context) => {
  const root = writePackage(context);
  assert.deepEqual(await ensureElsewhere(root, NO_PROGRAMS), {
    kind: 'unavailable',
    reason: 'No C++ compiler was found ($CXX, c++, g++, clang++).',
    hint: 'Install one (Debian: apt-get install g++).',
  });
});

test(
  'ensureAddon: an addon brought along serves where there is no compiler',
  needsCompiler,
  async (context) => {
    const root = writePackage(context);
    await ensureAddon({ root });
    const addon = await ensureElsewhere(root, NO_PROGRAMS);
    assert.equal(addon.kind === 'ready' && addon.isNew, false);
    writeUnit(root, 'return 3;');
    assert.equal((await ensureElsewhere(root, NO_PROGRAMS)).kind, 'unavailable');
  },
);

test('ensureAddon: a package without sources has no addon', async (context) => {
  const root = writePackage(context);
  rmSync(join(root, 'csrc'), { recursive: true });
  const addon = await ensureAddon({ root });
  assert.equal(addon.kind === 'unavailable' && addon.reason, 'This package has no C++ sources.');
});

test("ensureAddon: this checkout's addon has every unit of csrc", needsCompiler, async () => {
  const addon = await ensureAddon({ root: projectRoot });
  assert.equal(addon.kind, 'ready', JSON.stringify(addon));
  const note = JSON.parse(readFileSync(join(addon.path, '..', 'moebius.json'), 'utf8')) as {
    readonly units: readonly string[];
  };
  const units = readdirSync(join(projectRoot, 'csrc')).filter((name) => name.endsWith('.cpp'));
  assert.deepEqual(note.units, units.sort());
});
