/**
 * Progress of the set-up, on the error stream so that a command's own output stays clean.
 *
 * On a terminal one line is rewritten; elsewhere (a log, CI) a line is added when work starts,
 * every ten seconds while it lasts, and when it ends.
 */
const isTerminal = process.stderr.isTTY === true;

/** @param {string} text one line for people */
export function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

/**
 * @template T
 * @param {string} what the work, e.g. `installing 31 packages`
 * @param {() => string} measure how far it is, e.g. `12 of 31`
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withProgress(what, measure, work) {
  const start = Date.now();
  const line = () => `${what}: ${measure()}, ${((Date.now() - start) / 1000).toFixed(0)} s`;
  if (!isTerminal) say(`${what} …`);
  const show = isTerminal
    ? () => process.stderr.write(`\r\x1b[Ksetup: ${line()}`)
    : () => say(line());
  const timer = setInterval(show, isTerminal ? 200 : 10_000);
  try {
    const result = await work();
    if (isTerminal) process.stderr.write('\r\x1b[K');
    say(`${line()}, done`);
    return result;
  } catch (error) {
    if (isTerminal) process.stderr.write('\n');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
