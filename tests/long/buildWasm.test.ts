/** The committed WebAssembly binary is made again from these sources, byte for byte. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../support/projectFiles.ts';
import { importScript, temporaryFolder, type WasmBuilder } from '../support/scripts.ts';

const { binaryPath, ensureWasm, findTools, originOf, sourceKey } =
  await importScript<WasmBuilder>('scripts/build-wasm.js');
const skip = findTools() === undefined && 'no clang for WebAssembly (Debian: clang-19 lld-19)';

test('ensureWasm: the same sources and compiler give the same bytes', { skip }, async (context) => {
  const committed = readFileSync(binaryPath(projectRoot));
  const path = join(temporaryFolder(context), 'kernels.wasm');
  const built = await ensureWasm({ root: projectRoot, path });
  assert.ok(built.kind === 'ready' && built.isNew);
  const bytes = readFileSync(path);
  assert.equal(originOf(bytes)?.key, sourceKey(projectRoot));
  if (originOf(bytes)?.compiler === originOf(committed)?.compiler) {
    assert.ok(bytes.equals(committed), 'wasm/kernels.wasm is another');
  }
});
