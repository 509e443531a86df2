/**
 * One line for each request when it is over, and lines for what happens to the server: JSON for
 * machines, or a short one for people. What was asked and answered is never in it.
 */

/** What happened, with its values; `message` for people. */
export interface LogEntry {
  readonly level: 'info' | 'warn' | 'error';
  readonly event: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

export interface RequestLog {
  write(entry: LogEntry): void;
}

/** What a line of text goes to. */
export type LineSink = (line: string) => unknown;

/** A JSON object in every line; `time` is in ISO 8601. */
export function jsonLog(sink: LineSink, now: () => Date): RequestLog {
  return {
    write: (entry) => sink(`${JSON.stringify({ time: now().toISOString(), ...entry })}\n`),
  };
}

/** `12:04:11 POST /v1/chat/completions 200 1.93 s prompt=12 …` */
export function readableLog(sink: LineSink, now: () => Date): RequestLog {
  return {
    write: ({ level, event, message, ...fields }) => {
      const time = now().toTimeString().slice(0, 8);
      const mark = level === 'info' ? '' : ` ${level}:`;
      const text = event === 'request' ? describeRequest(fields) : `${message ?? event}`;
      const rest = event === 'request' ? '' : listed(fields);
      sink(`${time}${mark} ${text}${rest}\n`);
    },
  };
}

export const silentLog: RequestLog = { write: () => {} };

function describeRequest(fields: Readonly<Record<string, unknown>>): string {
  const { method, path, status, seconds, ...rest } = fields;
  return `${method} ${path} ${status} ${Number(seconds).toFixed(3)} s${listed(rest)}`;
}

function listed(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
}
