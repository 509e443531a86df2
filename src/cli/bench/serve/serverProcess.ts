/**
 * A server for one benchmark: `moebius serve` in a process of its own on a free port of this
 * machine, ended by its id when the benchmark has ended, however it ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MoebiusError } from '../../../base/errors.ts';
import { packageRoot } from '../../../runtime/packageRoot.ts';

export interface ServerProcess {
  readonly url: URL;
  readonly processId: number;
  /** Asks it to end, and makes it end where it does not. */
  end(): Promise<void>;
}

/** After this it is killed. */
const PATIENCE_SECONDS = 10;

/**
 * @param args of `moebius serve`, without address and port
 * @throws bench.server when it ends before it listens, with what it said last
 */
export async function startServer(args: readonly string[]): Promise<ServerProcess> {
  const program = join(packageRoot() ?? '', 'bin', 'moebius.js');
  const words = [program, 'serve', ...args, '--quiet', '--host', '127.0.0.1', '--port', '0'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const end = async (): Promise<void> => {
    process.off('exit', endWithUs);
    child.kill('SIGTERM');
    const patience = new AbortController();
    const late = setTimeout(PATIENCE_SECONDS * 1e3, undefined, { signal: patience.signal });
    await Promise.race([ended, late.then(() => child.kill('SIGKILL'))]);
    patience.abort();
    await Promise.allSettled([ended, late]);
  };
  try {
    const url = new URL(await listening(child, args));
    return { url, processId: child.pid ?? 0, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The address that it prints once it listens and is ready. */
function listening(child: ChildProcess, args: readonly string[]): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    const hear = (text: string): void => {
      // What it says while it starts, and last.
      said = (said + text).slice(-10_000);
      const address = /ready at (http:\/\/127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (address !== undefined) resolve(address);
    };
    child.stdout?.setEncoding('utf8').on('data', hear);
    child.stderr?.setEncoding('utf8').on('data', hear);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const values = { serve: args.join(' '), code: code ?? signal, because: lastLines(said) };
      const hint = 'Run it alone to see all that it says.';
      reject(new MoebiusError('bench.server', 'the server did not start', { values, hint }));
    });
  });
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ');
}
