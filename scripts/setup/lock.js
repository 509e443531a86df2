/**
 * One at a time, across processes: `npm start` in one terminal and `npm test` in another must not
 * both install packages into one folder.
 *
 * The lock is a file made with `wx`. Its holder touches it every two seconds, so a lock that went
 * cold, or whose process is gone, was left by a run that died and is taken over. Its content names
 * the holder; whoever takes a lock over checks that it moved the very one it judged.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const HEARTBEAT_MS = 2000;
const COLD_MS = 10 * HEARTBEAT_MS;

/**
 * @template T
 * @param {string} path the lock's file; its folder is made
 * @param {() => Promise<T>} work
 * @param {(holder: string) => void} [onWait] told once, when somebody else holds the lock
 * @returns {Promise<T>}
 */
export async function withLock(path, work, onWait) {
  fs.mkdirSync(dirname(path), { recursive: true });
  const token = `${process.pid} ${hostname()} ${randomUUID()}`;
  for (let waited = false; !tryCreate(path, token); ) {
    const holder = read(path);
    if (holder === undefined) continue;
    if (isAbandoned(path, holder)) {
      takeOver(path, holder);
      continue;
    }
    if (!waited) onWait?.(holder.split(' ')[0] ?? '');
    waited = true;
    await sleep(200);
  }
  const heartbeat = setInterval(() => touch(path), HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (read(path) === token) fs.rmSync(path, { force: true });
  }
}

/** @param {string} path @param {string} token */
function tryCreate(path, token) {
  try {
    fs.writeFileSync(path, token, { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}

/** @param {string} path @returns {string | undefined} */
function read(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function touch(path) {
  try {
    const now = new Date();
    fs.utimesSync(path, now, now);
  } catch {
    // Somebody judged us dead (a suspended laptop). The work is re-checked by whoever holds it now.
  }
}

/** @param {string} path @param {string} holder */
function isAbandoned(path, holder) {
  const [pid, host] = holder.split(' ');
  if (host === hostname() && !isAlive(Number(pid))) return true;
  const state = fs.statSync(path, { throwIfNoEntry: false });
  return state !== undefined && Date.now() - state.mtimeMs > COLD_MS;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @param {string} path @param {string} abandoned the content that was judged */
function takeOver(path, abandoned) {
  const moved = `${path}.${randomUUID()}`;
  try {
    fs.renameSync(path, moved);
    // Another process was quicker and this is its fresh lock: put it back.
    if (read(moved) !== abandoned) fs.linkSync(moved, path);
  } catch {
    // Gone already, or taken again: the caller's loop looks anew.
  }
  fs.rmSync(moved, { force: true });
}
