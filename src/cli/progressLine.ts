/**
 * Bytes done, speed and time left on one line of a terminal that is written over; elsewhere one
 * line at a tenth of the way each, so that a log stays short.
 */
import { formatBytes, formatSeconds } from '../base/units.ts';
import { machineClock } from '../runtime/clock.ts';

export interface ByteProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

export function progressLine(what: string): (progress: ByteProgress) => void {
  const start = machineClock.now();
  let shownAt = start;
  let tenths = 0;
  return ({ bytes, totalBytes }) => {
    const now = machineClock.now();
    const isDone = bytes >= totalBytes;
    const isTerminal = process.stderr.isTTY === true;
    if (isTerminal) {
      if (now - shownAt < 0.2 && !isDone) return;
    } else {
      const reached = Math.floor((10 * bytes) / Math.max(totalBytes, 1));
      if (reached <= tenths || now - start < 2) return;
      tenths = reached;
    }
    shownAt = now;
    const text = `${what}: ${progressText({ bytes, totalBytes }, now - start)}`;
    process.stderr.write(isTerminal ? `\r${text}\x1b[K${isDone ? '\n' : ''}` : `${text}\n`);
  };
}

/** `3.20 GiB of 15.42 GiB, 1.31 GB/s, 9.8 s left`. */
export function progressText({ bytes, totalBytes }: ByteProgress, seconds: number): string {
  const share = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  if (bytes === 0 || seconds <= 0) return share;
  const speed = bytes / seconds;
  const left = formatSeconds((totalBytes - bytes) / speed);
  return `${share}, ${(speed / 1e9).toFixed(2)} GB/s, ${left} left`;
}
