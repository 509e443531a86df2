/** HTTP by hand: bytes go out as they are, well-formed or not; what comes back is taken apart. */
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Exchange {
  readonly responses: readonly RawResponse[];
  /** How it ended: the server closed it, we gave up waiting, or the connection was reset. */
  readonly end: 'closed' | 'waited' | 'reset';
}

export interface Sending {
  readonly port: number;
  readonly parts: readonly (string | Uint8Array)[];
  /** Pauses between parts. */
  readonly pauseMs?: number;
  /** Ours is closed for writing behind the last part. */
  readonly halfCloses?: boolean;
  /** It is over after so many responses. */
  readonly numResponses?: number;
  readonly patienceMs?: number;
}

export async function exchange(sending: Sending): Promise<Exchange> {
  const { port, parts, pauseMs = 0, patienceMs = 5000, numResponses = 1 } = sending;
  const socket = connect(port, '127.0.0.1');
  const received: Buffer[] = [];
  const end = Promise.withResolvers<Exchange['end']>();
  const timer = setTimeout(() => end.resolve('waited'), patienceMs);
  socket.setNoDelay(true);
  socket.on('data', (bytes: Buffer) => {
    received.push(bytes);
    if (responsesIn(Buffer.concat(received)).length >= numResponses) end.resolve('closed');
  });
  socket.on('error', () => end.resolve('reset'));
  socket.on('close', () => end.resolve('closed'));
  await send(socket, { parts, pauseMs });
  if (sending.halfCloses === true) socket.end();
  const how = await end.promise;
  clearTimeout(timer);
  socket.destroy();
  return { responses: responsesIn(Buffer.concat(received)), end: how };
}

async function send(
  socket: Socket,
  { parts, pauseMs }: { parts: Sending['parts']; pauseMs: number },
): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    socket.write(part);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Whole responses, with a length or in chunks; what is begun and not ended is left out. */
function responsesIn(bytes: Buffer): RawResponse[] {
  const responses: RawResponse[] = [];
  for (let from = 0; ; ) {
    const headEnd = bytes.indexOf('\r\n\r\n', from);
    if (headEnd < 0) return responses;
    const [first = '', ...lines] = bytes.toString('latin1', from, headEnd).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const status = Number(first.split(' ')[1]);
    const whole = bodyAt(bytes, headEnd + 4, headers);
    if (whole === null) return responses;
    if (status !== 100) responses.push({ status, headers, body: whole.body });
    from = whole.end;
  }
}

function bodyAt(
  bytes: Buffer,
  start: number,
  headers: Readonly<Record<string, string>>,
): { body: string; end: number } | null {
  if (headers['transfer-encoding'] !== 'chunked') {
    const end = start + Number(headers['content-length'] ?? 0);
    return end > bytes.length ? null : { body: bytes.toString('utf8', start, end), end };
  }
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (end > bytes.length) return null;
    if (size === 0) return { body: Buffer.concat(parts).toString('utf8'), end };
    parts.push(bytes.subarray(lineEnd + 2, end - 2));
    at = end;
  }
}
