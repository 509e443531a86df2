/** Numbers as people read them. Data keeps plain integers and seconds; only screens call these. */

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const DECIMAL = ['', 'K', 'M', 'B', 'T', 'P'];

/** `1536` → `1.50 KiB`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, BINARY, ' ');
}

/** `671026404352` → `671.03B`; below a thousand the plain number. */
export function formatCount(count: number): string {
  return Math.abs(count) < 1000 ? String(count) : scaled(count, 1000, DECIMAL, '');
}

/** `3723` → `1h 02m`, `62.5` → `1m 02s`, `0.0123` → `12.3 ms`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds === 0) return '0 s';
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(1)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}h ${two(minutes)}m` : `${minutes}m ${two(whole % 60)}s`;
}

export function formatPercent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`;
}

function scaled(value: number, base: number, names: readonly string[], space: string): string {
  let rest = value;
  let index = 0;
  // What would be shown as a whole 1000 of one unit is 1 of the next.
  while (Math.abs(rest) >= base - 0.005 && index < names.length - 1) {
    rest /= base;
    index++;
  }
  const digits = index === 0 ? 0 : 2;
  return `${rest.toFixed(digits)}${space}${names[index]}`;
}
