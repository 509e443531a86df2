/**
 * Other programs to measure against: where they are, how they are called, what they print.
 *
 * They are the programs of the benchmark page (`torch_v3_train.py`, `llamacpp_bench.mjs` in the
 * folder `bench` of MOEBIUS_SHARED, `../shared` beside this project by default) on PyTorch from
 * Debian and on node-llama-cpp from npm, which lies in a folder of its own. Nothing of ours needs
 * them; what is missing is said in one line with what to install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { serializeModelConfig } from '../../config/serializeModelConfig.ts';
import { makeFolder } from '../../runtime/makeFolder.ts';
import { packageRoot } from '../../runtime/packageRoot.ts';
import { note } from '../output.ts';
import type { Command } from './runCommand.ts';

export interface Peer {
  /** "PyTorch, best form", "llama.cpp f16". */
  readonly name: string;
  readonly command: Command;
  /** The key of its JSON line under which its tokens per second are. */
  readonly key: string;
}

const PYTHON = process.env.MOEBIUS_PYTHON ?? '/usr/bin/python3';

/** llama.cpp's type for each of ours: the same bytes, 8 bits with a scale per 32 numbers. */
const GGUF_TYPES: Readonly<Record<string, string>> = {
  f32: 'f32',
  bf16: 'f16',
  f16: 'f16',
  f8e4m3: 'q8_0',
};

/** @throws bench.peerMissing */
export function torchPeer(args: {
  model: ModelConfig;
  peers: string;
  batch: number;
  length: number;
  steps: number;
}): Peer {
  const script = sharedProgram('torch_v3_train.py');
  requirePython('torch');
  const config = writeConfig(args.peers, 'train', args.model);
  const sizes = ['--batch', `${args.batch}`, '--seq', `${args.length}`, '--steps', `${args.steps}`];
  const form = ['--impl', 'best', '--malloc', 'huge', '--workers', '2'];
  return {
    name: 'PyTorch, best form',
    command: { file: PYTHON, args: [script, '--config', config, ...form, ...sizes] },
    key: 'tokens_per_s',
  };
}

/** @throws bench.peerMissing, bench.dtype */
export function llamaPeer(args: {
  workload: 'decode' | 'prefill';
  model: ModelConfig;
  name: string;
  peers: string;
  dtype: string;
  gguf: string | undefined;
  batch: number;
  prompt: number;
  tokens: number;
}): Peer {
  const { workload, batch, peers } = args;
  const type = GGUF_TYPES[args.dtype];
  if (type === undefined) {
    const known = Object.keys(GGUF_TYPES);
    throw new MoebiusError('bench.dtype', `weights cannot be ${args.dtype}`, {
      values: { dtype: args.dtype },
      hint: `Take ${nearestName(args.dtype, known) ?? known.join(', ')}.`,
    });
  }
  const script = sharedProgram('llamacpp_bench.mjs');
  if (!existsSync(join(peers, 'node_modules', 'node-llama-cpp'))) {
    throw missing('node-llama-cpp', join(peers, 'node_modules'), {
      hint: `Run: npm install --ignore-scripts --prefix ${peers} node-llama-cpp`,
    });
  }
  const gguf = args.gguf ?? madeGguf({ ...args, type });
  if (!existsSync(gguf)) throw missing('the GGUF file', gguf, { hint: 'Check --gguf.' });
  const decode = batch === 1 ? 'decode1' : 'decodeN';
  const sizes = ['--prompt', `${args.prompt}`, '--gen', `${args.tokens}`, '--batch', `${batch}`];
  const only = ['--only', workload === 'decode' ? decode : 'prefill'];
  return {
    name: `llama.cpp ${type}`,
    command: {
      file: process.execPath,
      args: [script, resolve(gguf), ...sizes, ...only],
      env: { PEERS: resolve(peers) },
    },
    key: workload === 'decode' ? `decode${batch}_tok_s` : 'prefill_tok_s',
  };
}

/** A random model of this config as GGUF, made once and kept in the peers' folder. */
function madeGguf(args: { model: ModelConfig; name: string; peers: string; type: string }): string {
  const { peers, type } = args;
  const name = args.name.replace(/\W+/g, '-');
  const path = join(peers, 'models', `${name}-${type}.gguf`);
  if (existsSync(path)) return path;
  const [maker, writer] = ['make_v3_checkpoint.py', 'llamacpp_write_gguf.py'].map(sharedProgram);
  requirePython('numpy');
  const checkpoint = join(peers, 'models', `${name}-f32`);
  const config = writeConfig(peers, name, args.model);
  note(`making ${path}`);
  for (const command of [
    [maker, config, checkpoint, '--no-mtp'],
    [writer, checkpoint, path, '--type', type],
  ]) {
    const { status, stderr } = spawnSync(PYTHON, command as string[], { encoding: 'utf8' });
    if (status === 0) continue;
    throw new MoebiusError('bench.peerFailed', `${command[0]} failed`, {
      values: { status, because: stderr.trim().split('\n').at(-1) },
      hint: 'Give a file with --gguf.',
    });
  }
  return path;
}

function writeConfig(peers: string, name: string, model: ModelConfig): string {
  const path = join(peers, 'models', `${name}.json`);
  makeFolder(dirname(path));
  writeFileSync(path, `${JSON.stringify(serializeModelConfig(model), null, 1)}\n`);
  return path;
}

/** A program of the benchmark page. */
function sharedProgram(name: string): string {
  const root = dirname(packageRoot() ?? '');
  const shared = process.env.MOEBIUS_SHARED ?? join(root, 'shared');
  const path = join(shared, 'bench', name);
  if (existsSync(path)) return path;
  throw missing(name, join(shared, 'bench'), {
    hint: `Set MOEBIUS_SHARED to the folder that holds bench/${name}.`,
  });
}

function requirePython(module: string): void {
  const { status } = spawnSync(PYTHON, ['-c', `import ${module}`], { stdio: 'ignore' });
  if (status === 0) return;
  throw missing(`Python's ${module}`, PYTHON, {
    hint: `Install python3-${module} (Debian), or set MOEBIUS_PYTHON to a Python that has it.`,
  });
}

function missing(what: string, where: string, { hint }: { hint: string }): MoebiusError {
  return new MoebiusError('bench.peerMissing', `${what} is not there`, { values: { where }, hint });
}
