/** The committed WebAssembly binary: of these sources, and small; and the script that makes it. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { projectRoot } from './support/projectFiles.ts';
import {
  importScript,
  runProgram,
  scriptUrl,
  temporaryFolder,
  type WasmBuilder,
} from './support/scripts.ts';

const { binaryPath, ensureWasm, findTools, originOf, sourceKey } =
  await importScript<WasmBuilder>('scripts/build-wasm.js');
const committed = binaryPath(projectRoot);
const tools = findTools();
const needsClang = {
  skip: tools === undefined && 'no clang for WebAssembly (Debian: clang-19 lld-19)',
};

test('wasm/kernels.wasm: is that of these sources (else: npm run build:wasm)', () => {
  assert.equal(originOf(readFileSync(committed))?.key, sourceKey(projectRoot));
});

test('wasm/kernels.wasm: is small enough to be committed', () => {
  assert.ok(statSync(committed).size < 650_000, `${statSync(committed).size} bytes`);
});

/** Two units as those of csrc are called, of a few lines. */
function writePackage(context: TestContext): string {
  const root = temporaryFolder(context);
  mkdirSync(join(root, 'csrc'));
  writeFileSync(join(root, 'csrc', 'value.h'), '#define VALUE 40\nint fromUnit();\n');
  writeFileSync(
    join(root, 'csrc', 'wasm.cpp'),
    '#include "value.h"\n' +
      'extern "C" __attribute__((export_name("value"))) int value() { return fromUnit(); }\n',
  );
  writeFileSync(
    join(root, 'csrc', 'isa_wasm.cpp'),
    '#include "value.h"\nint fromUnit() { return VALUE + 2; }\n',
  );
  return root;
}

// The committed binary itself is made again by npm run check:long.
test(
  'ensureWasm: the same sources give the same bytes, a changed header others',
  needsClang,
  async (context) => {
    const root = writePackage(context);
    const [path, other] = [binaryPath(root), join(root, 'other.wasm')];
    const built = await ensureWasm({ root });
    assert.ok(built.kind === 'ready' && built.isNew && built.path === path);
    assert.equal(originOf(readFileSync(path))?.key, sourceKey(root));
    const again = await ensureWasm({ root });
    assert.ok(again.kind === 'ready' && !again.isNew);
    await ensureWasm({ root, path: other });
    assert.ok(readFileSync(other).equals(readFileSync(path)), 'the same bytes');

    writeFileSync(join(root, 'csrc', 'value.h'), '#define VALUE 50\nint fromUnit();\n');
    assert.notEqual(originOf(readFileSync(path))?.key, sourceKey(root));
    const changed = await ensureWasm({ root });
    assert.ok(changed.kind === 'ready' && changed.isNew);
    assert.ok(!readFileSync(other).equals(readFileSync(path)), 'other bytes');
  },
);

test('ensureWasm: without clang says which packages to install, in one line', async (context) => {
  const path = join(temporaryFolder(context), 'kernels.wasm');
  const script = `
    const { ensureWasm } = await import(${JSON.stringify(scriptUrl('scripts/build-wasm.js'))});
    const options = { root: ${JSON.stringify(projectRoot)}, path: ${JSON.stringify(path)} };
    console.log(JSON.stringify(await ensureWasm(options)));
  `;
  const { stdout } = await runProgram(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, PATH: '/no/such/folder' },
  });
  assert.deepEqual(JSON.parse(stdout), {
    kind: 'unavailable',
    reason: 'No clang for WebAssembly was found: install the Debian packages clang-19 and lld-19.',
  });
});
