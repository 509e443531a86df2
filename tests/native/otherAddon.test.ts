/**
 * An addon that was built from other sources is refused where it is loaded: it would run some
 * operations and crash the process in others.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { CALLING_CONVENTION } from '../../src/kernels/compiled/convention.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { projectRoot, readProjectFile } from '../support/projectFiles.ts';
import { importScript, temporaryFolder } from '../support/scripts.ts';

interface Conventions {
  callingConvention(root: string): typeof CALLING_CONVENTION;
  signatureOf(name: string, texts: readonly string[]): string;
}

const { callingConvention, signatureOf } = await importScript<Conventions>(
  'scripts/setup/callingConvention.js',
);
const loaded = loadAddon();
const needsAddon = { skip: 'reason' in loaded && loaded.reason };
const SCALE = readProjectFile('csrc/elementwise.inl');

/** The addon of this checkout with one text in it replaced by another of its length. */
function changedAddon(context: TestContext, from: string, to: string): string {
  assert.ok(!('reason' in loaded) && from.length === to.length);
  const bytes = readFileSync(loaded.path);
  const place = bytes.indexOf(`${from}\0`);
  assert.ok(place >= 0, `the addon says ${from}`);
  bytes.write(to, place);
  const path = join(temporaryFolder(context), 'moebius.node');
  writeFileSync(path, bytes);
  return path;
}

function refusal(path: string): MoebiusError {
  try {
    loadAddon({ path });
  } catch (error) {
    assert.ok(error instanceof MoebiusError);
    return error;
  }
  assert.fail('the addon was loaded');
}

test('CALLING_CONVENTION: is that of csrc (node scripts/update-convention.js)', () => {
  assert.deepEqual(CALLING_CONVENTION, callingConvention(projectRoot));
});

test('callingConvention: what an operation reads is its comment and its reads, in order', () => {
  assert.equal(signatureOf('scale', [SCALE]), 'args: x, factor | x matrix, factor real');
  const more = SCALE.replace('const vf factor = splat(args.real());', '$& args.flag();');
  assert.equal(signatureOf('scale', [more]), 'args: x, factor | x matrix, factor real, flag');
  const routing = readProjectFile('csrc/routeTopK.inl');
  assert.match(signatureOf('routeTopK', [routing]), /bias vector, isSoftmax flag, numGroups int/);
  assert.throws(() => signatureOf('scales', [SCALE]), /has the operation scales/);
});

test('callingConvention: arithmetic, remarks and types change nothing', () => {
  const edited = SCALE.replace('const vf factor = splat(args.real());', (line) =>
    line.replace('const vf', 'const auto').replace(';', ';  // a remark: args.flag()\n  vf y;'),
  );
  assert.notEqual(edited, SCALE);
  assert.equal(signatureOf('scale', [edited]), signatureOf('scale', [SCALE]));
});

test('loadAddon: an addon with another calling convention is refused', needsAddon, (context) => {
  const { whole } = CALLING_CONVENTION;
  const { code, message, values, hint } = refusal(changedAddon(context, whole, '01234567'));
  assert.equal(code, 'runtime.otherAddon');
  assert.match(message, /its calling convention is 01234567, that of this code /);
  assert.ok(message.endsWith(whole));
  assert.deepEqual(values, { addon: '01234567', code: whole, operations: [] });
  assert.match(hint ?? '', /npm run build:native/);
});

test('loadAddon: an addon from before there were conventions is refused', needsAddon, (context) => {
  const path = changedAddon(context, 'callingConvention', 'nothingOfThisKind');
  assert.match(refusal(path).message, /its calling convention is none, that of this code /);
});

test('loadAddon: names the operations that are called otherwise', needsAddon, (context) => {
  const { whole, operations } = CALLING_CONVENTION;
  const path = changedAddon(context, whole, '01234567');
  const bytes = readFileSync(path);
  bytes.write('00000000', bytes.indexOf(`${at(Object.values(operations), 4)}\0`));
  writeFileSync(path, bytes);
  const name = at(Object.keys(operations), 4);
  assert.deepEqual(refusal(path).values, { addon: '01234567', code: whole, operations: [name] });
});
