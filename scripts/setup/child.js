/** Runs a program to its end, quietly, and takes it along when this process is told to stop. */
import { spawn } from 'node:child_process';

const STOPS = /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/**
 * @param {string} program @param {readonly string[]} args @param {string} [cwd]
 * @returns {Promise<string>} what it printed, on either stream
 * @throws {Error} with what it printed, when it does not end with 0
 */
export function runChild(program, args, cwd) {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  /** @type {NodeJS.Signals | undefined} */
  let told;
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    // We end after the child has: an npm that goes on alone would meet the next run's npm in the
    // same folder. npm takes SIGTERM as advice, hence the second, harder word.
    told = signal;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 1000);
  };
  for (const signal of STOPS) process.on(signal, stop);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const name of STOPS) process.removeListener(name, stop);
      if (told) process.kill(process.pid, told);
      else if (code === 0) resolve(said);
      else reject(new Error(said.trim() || `${program} ended with ${code ?? signal}`));
    });
  });
}
