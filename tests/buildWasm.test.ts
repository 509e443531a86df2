/** The committed WebAssembly binary: of these sources, small, and made again byte for byte. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
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

test(
  'ensureWasm: the same sources and compiler give the same bytes',
  needsClang,
  async (context) => {
    const path = join(temporaryFolder(context), 'kernels.wasm');
    const built = await ensureWasm({ root: projectRoot, path });
    assert.ok(built.kind === 'ready' && built.isNew);
    const bytes = readFileSync(path);
    assert.equal(originOf(bytes)?.key, sourceKey(projectRoot));
    if (originOf(bytes)?.compiler === originOf(readFileSync(committed))?.compiler) {
      assert.ok(bytes.equals(readFileSync(committed)), 'wasm/kernels.wasm is another');
    }
    const again = await ensureWasm({ root: projectRoot, path });
    assert.ok(again.kind === 'ready' && !again.isNew);
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
