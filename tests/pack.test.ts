/**
 * The package as a stranger gets it: packed from a copy of this checkout, installed from the
 * tarball into an empty folder without install scripts, and used there: the command line through
 * npx, and the library by README's own example, type-checked and run.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { projectRoot, readProjectFile } from './support/projectFiles.ts';
import { type Ended, runProgram, temporaryFolder } from './support/scripts.ts';
import { writeTalkingCheckpoint } from './support/talkingCheckpoint.ts';

/** Without this checkout's programs in PATH, and without what `npm test` tells its children. */
const strangersEnvironment = Object.fromEntries(
  Object.entries({
    ...process.env,
    PATH: (process.env.PATH ?? '')
      .split(delimiter)
      .filter((folder) => !folder.startsWith(projectRoot))
      .join(delimiter),
  }).filter(([name]) => !/^(?:npm_|NODE_(?!EXTRA_CA_CERTS$)|INIT_CWD$)/i.test(name)),
);

async function run(program: string, args: readonly string[], cwd: string): Promise<Ended> {
  const ended = await runProgram(program, args, { cwd, env: strangersEnvironment });
  assert.equal(ended.code, 0, `${program} ${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`);
  return ended;
}

/** Packs a copy, so that tests which run at the same time do not write into one dist/. */
async function pack(folder: string): Promise<{ tarball: string; files: readonly string[] }> {
  const copy = join(folder, 'copy');
  mkdirSync(copy);
  for (const name of readdirSync(projectRoot)) {
    if (/^(?:bin|csrc|scripts|src|studio|wasm|[\w.-]+\.(?:json|md)|LICENSE)$/.test(name)) {
      cpSync(join(projectRoot, name), join(copy, name), { recursive: true });
    }
  }
  symlinkSync(join(projectRoot, 'node_modules'), join(copy, 'node_modules'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], copy);
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  assert.ok(packed, stdout);
  return {
    tarball: join(folder, packed.filename),
    files: packed.files.map(({ path }) => path),
  };
}

/** The kernels of this checkout, so that the test does not compile them a second time. */
function bringKernels(app: string): void {
  const built = join(projectRoot, 'build', 'Release');
  if (existsSync(built))
    cpSync(built, join(app, 'node_modules/moebius/build/Release'), { recursive: true });
}

async function useCommandLine(app: string): Promise<void> {
  const version = await run('npx', ['moebius', '--version'], app);
  assert.equal(version.stdout.trim(), JSON.parse(readProjectFile('package.json')).version);
  const doctor = await run('npx', ['moebius', 'doctor', '--json'], app);
  JSON.parse(doctor.stdout.trim().split('\n').at(-1) ?? '');
  await useWithoutCompiler(app);
}

/** Nothing that could compile is in PATH, and nothing was brought: WebAssembly, on its threads. */
async function useWithoutCompiler(app: string): Promise<void> {
  const build = join(app, 'node_modules/moebius/build');
  const aside = join(app, 'build-aside');
  if (existsSync(build)) renameSync(build, aside);
  const node = join(app, 'node_modules', '.bin', 'node');
  const program = join(app, 'node_modules/moebius/bin/moebius.js');
  const env = { ...strangersEnvironment, PATH: '/no/such/folder', MOEBIUS_THREADS: '2' };
  const ended = await runProgram(node, [program, 'doctor', '--json'], { cwd: app, env });
  assert.equal(ended.code, 0, ended.stderr);
  const json = JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '');
  assert.equal(json.kernels, 'wasm');
  assert.equal(json.threads, 2);
  assert.match(json.reason, /^No C\+\+ compiler was found/);
  rmSync(build, { recursive: true, force: true });
  if (existsSync(aside)) renameSync(aside, build);
}

async function useLibrary(app: string, context: TestContext): Promise<void> {
  const [, example = ''] = /^```ts\n([\s\S]*?)^```/m.exec(readProjectFile('README.md')) ?? [];
  assert.match(example, /from 'moebius'/);
  assert.ok(example.trim().split('\n').length <= 15);
  writeFileSync(join(app, 'example.ts'), example);
  const types = join(projectRoot, 'node_modules', '@types');
  const settings = {
    compilerOptions: {
      ...{ module: 'nodenext', target: 'es2024', strict: true, noEmit: true, skipLibCheck: false },
      ...{ typeRoots: [types], types: ['node'] },
    },
    files: ['example.ts'],
  };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify(settings));
  await run(join(projectRoot, 'node_modules', '.bin', 'tsc'), ['--project', app], app);
  const checkpoint = await writeTalkingCheckpoint(temporaryFolder(context));
  const node = join(app, 'node_modules', '.bin', 'node');
  const { stdout } = await run(node, ['example.ts', checkpoint, 'Once'], app);
  assert.ok(stdout.trim().length > 0, 'the model said nothing');
}

/** Packing, installing and starting take a minute alone, and many times that beside other work. */
const LIMIT = { timeout: 900_000 };

test('package: installs without scripts and works in an empty folder', LIMIT, async (context) => {
  const folder = temporaryFolder(context);
  const { tarball, files } = await pack(folder);

  for (const name of [
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'dist/src/cli/main.js',
    'dist/src/runtime/wasmWorker.js',
    'dist/studio/index.html',
    'wasm/kernels.wasm',
    'LICENSE',
  ]) {
    assert.ok(files.includes(name), `${name} is not in the package`);
  }
  const unwanted = files.filter((path) => /\.test\.|^(?:src|tests|build|docs)\//.test(path));
  assert.deepEqual(unwanted, []);

  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }');
  const install = ['install', tarball, '--ignore-scripts', '--prefer-offline', '--no-audit'];
  await run('npm', install, app);
  bringKernels(app);
  await useCommandLine(app);
  await useLibrary(app, context);
});
