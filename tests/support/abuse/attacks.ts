/**
 * What a port on a network gets to see: requests that are too large, broken, half, misleading or no
 * HTTP at all. Each says what a server may do with it; whatever else happens is a failure.
 */
import assert from 'node:assert/strict';
import { at } from '../../../src/base/assert.ts';
import { Random } from '../../../src/base/random.ts';
import { type Exchange, exchange, type Sending } from './rawSocket.ts';

export interface Attack {
  readonly name: string;
  /** Statuses that are right; `closed` is a connection closed without a word. */
  readonly allowed: readonly (number | 'closed')[];
  readonly sending: (random: Random) => Omit<Sending, 'port'>;
}

const PATH = '/v1/completions';
const GOOD = JSON.stringify({ prompt: 'a', max_tokens: 1 });

function post(body: string | Uint8Array, headers: readonly string[] = []): string {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const all = ['Host: x', 'Content-Type: application/json', `Content-Length: ${length}`];
  return `POST ${PATH} HTTP/1.1\r\n${[...all, ...headers].join('\r\n')}\r\n\r\n`;
}

const whole =
  (body: string | Uint8Array, headers: readonly string[] = []): Attack['sending'] =>
  () => ({ parts: [post(body, headers), body] });

const raw =
  (text: string, more: Omit<Sending, 'port' | 'parts'> = {}): Attack['sending'] =>
  () => ({ parts: [text], ...more });

const get = (path: string, headers: readonly string[] = []): Attack['sending'] =>
  raw(`GET ${path} HTTP/1.1\r\n${['Host: x', ...headers].join('\r\n')}\r\n\r\n`);

const badJson = (name: string, body: string | Uint8Array): Attack => ({
  name,
  allowed: [400],
  sending: whole(body),
});

const noSuch = (path: string): Attack => ({
  name: `path ${path.slice(0, 40)}`,
  allowed: [400, 404],
  sending: get(path),
});

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const inJson = (middle: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from('{"prompt":"'), middle, Buffer.from('"}')]);

const BODIES: readonly Attack[] = [
  badJson('a body that is no JSON', 'prompt=hello'),
  badJson('half of a JSON', '{"prompt":"a"'),
  badJson('two JSON values', '{"prompt":"a"} {"prompt":"b"}'),
  badJson('an empty object', '{}'),
  badJson('a JSON array', '[]'),
  badJson('null', 'null'),
  badJson('a number without end', `{"prompt":"a","max_tokens":1e999}`),
  badJson('a negative count', '{"prompt":"a","max_tokens":-1}'),
  badJson('a prototype', '{"__proto__":{"prompt":"a"},"constructor":{"prototype":{}}}'),
  badJson('a token that is none', '{"prompt":[1,2,-7],"max_tokens":1}'),
  badJson('a field nobody knows', '{"prompt":"a","max_tokns":1}'),
  badJson('JSON nested 100 000 deep', `{"prompt":${'['.repeat(1e5)}${']'.repeat(1e5)}}`),
  badJson('a schema nested deep', deepSchema(3000)),
  badJson('an overlong UTF-8 form', inJson(bytes(0xc0, 0xaf))),
  badJson('a half UTF-8 character', inJson(bytes(0xe2, 0x82))),
  badJson('a UTF-8 surrogate', inJson(bytes(0xed, 0xa0, 0x80))),
  badJson('a byte that UTF-8 has not', inJson(bytes(0xff, 0xfe))),
  { name: 'an empty body', allowed: [400], sending: whole('') },
  {
    name: 'a body as a form',
    allowed: [400, 415],
    sending: raw(
      `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\na`,
    ),
  },
  {
    name: 'a body of 1 GB, announced',
    allowed: [413, 'closed'],
    sending: raw(
      `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        'Content-Length: 1073741824\r\n\r\n{"prompt":"',
    ),
  },
  {
    name: 'a body without end, in chunks',
    allowed: [413, 'closed'],
    sending: () => {
      const chunk = `10000\r\n${'a'.repeat(0x10000)}\r\n`;
      const head = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
      return {
        parts: [`${head}Transfer-Encoding: chunked\r\n\r\n`, ...Array<string>(80).fill(chunk)],
      };
    },
  },
  {
    name: 'random bytes as a body',
    allowed: [400],
    sending: (random) => {
      const body = Uint8Array.from({ length: 1 + random.integer(4000) }, () => random.integer(256));
      return { parts: [post(body), body] };
    },
  },
];

/** One that no cache has seen. */
export const NEW_GRAMMAR: Attack = {
  name: 'a grammar that is new each time',
  allowed: [200, 429, 503],
  sending: (random) => {
    const pattern = `(ab|[a-c]{9})+d{50}${random.integer(1e9)}`;
    const body = JSON.stringify({ prompt: 'a', max_tokens: 4, guided_regex: pattern });
    return { parts: [post(body), body], patienceMs: 60_000 };
  },
};

const HEADS: readonly Attack[] = [
  {
    name: 'a header of 256 kB',
    allowed: [431, 'closed'],
    sending: get('/health', [`X-Long: ${'a'.repeat(262_144)}`]),
  },
  {
    name: 'ten thousand headers',
    allowed: [431, 200, 'closed'],
    sending: get(
      '/health',
      Array.from({ length: 10_000 }, (_, i) => `X-${i}: a`),
    ),
  },
  {
    name: 'a header with a null byte',
    allowed: [400, 'closed'],
    sending: get('/health', ['X: a\0b']),
  },
  {
    name: 'a header without a name',
    allowed: [400, 'closed'],
    sending: get('/health', [': a']),
  },
  {
    name: 'two lengths',
    allowed: [400, 'closed'],
    sending: raw(`${post(GOOD, ['Content-Length: 3'])}${GOOD}`),
  },
  {
    name: 'a length and chunks at once',
    allowed: [400, 'closed'],
    sending: raw(`${post(GOOD, ['Transfer-Encoding: chunked'])}0\r\n\r\n`),
  },
  {
    name: 'a length that is no number',
    allowed: [400, 'closed'],
    sending: raw(`POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n`),
  },
  { name: 'no host', allowed: [400, 200, 'closed'], sending: raw('GET /health HTTP/1.1\r\n\r\n') },
  {
    name: 'no HTTP',
    allowed: [400, 'closed'],
    sending: raw('\x16\x03\x01\x02\x00\x01\x00\x01\xfc'),
  },
  {
    name: 'HTTP/2 at once',
    allowed: [400, 505, 'closed'],
    sending: raw('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  },
  { name: 'HTTP/0.9', allowed: [200, 400, 505, 'closed'], sending: raw('GET /health\r\n\r\n') },
  {
    name: 'an upgrade',
    allowed: [200, 400, 404, 426, 'closed'],
    sending: get('/health', ['Connection: Upgrade', 'Upgrade: websocket']),
  },
  {
    name: 'a proxy’s CONNECT',
    allowed: [400, 404, 405, 'closed'],
    sending: raw('CONNECT example.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n'),
  },
  {
    name: 'a method that is none here',
    allowed: [400, 404, 405],
    sending: raw(`PUT ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`),
  },
  {
    name: 'a key with line breaks in it',
    allowed: [400, 401, 'closed'],
    sending: get('/v1/models', ['Authorization: Bearer a\n b']),
  },
];

const PATHS: readonly Attack[] = [
  '/../../../../etc/passwd',
  '/v1/../../etc/passwd',
  '/v1/models/..%2f..%2f..%2fetc%2fpasswd',
  '/v1/models/%00',
  '/v1/models/%ff%fe',
  '/%E0%80%80',
  '/%',
  '//v1//completions',
  '/v1/models/__proto__',
  '/constructor',
  `/${'a'.repeat(6000)}`,
  '/v1/models/<script>alert(1)</script>',
].map(noSuch);

const ENDS: readonly Attack[] = [
  {
    name: 'half a head, then silence',
    allowed: ['closed', 408],
    sending: raw(`POST ${PATH} HTTP/1.1\r\nHost: x\r\n`, { patienceMs: 300 }),
  },
  {
    name: 'half a body, then silence',
    allowed: ['closed', 408],
    sending: raw(`${post(GOOD)}{"prom`, { patienceMs: 300 }),
  },
  {
    name: 'half a body, then closed for writing',
    allowed: ['closed', 400],
    sending: raw(`${post(GOOD)}{"prom`, { halfCloses: true, patienceMs: 300 }),
  },
  {
    name: 'a connection and nothing else',
    allowed: ['closed', 408],
    sending: raw('', { patienceMs: 200 }),
  },
  {
    name: 'a byte at a time',
    allowed: [200, 429, 503],
    sending: () => ({ parts: [...`${post(GOOD)}${GOOD}`], pauseMs: 1, patienceMs: 60_000 }),
  },
  {
    name: 'five requests in one write',
    allowed: [200, 404, 429, 503],
    sending: () => {
      const one = `GET /health HTTP/1.1\r\nHost: x\r\n\r\n`;
      const other = `GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n`;
      const text = `${one}${other}${post(GOOD)}${GOOD}${one}${other}`;
      return { parts: [text], numResponses: 5, patienceMs: 60_000 };
    },
  },
];

export const ATTACKS: readonly Attack[] = [...BODIES, NEW_GRAMMAR, ...HEADS, ...PATHS, ...ENDS];

/** @throws AssertionError naming the attack, where the server did what it may not */
export async function attack(
  which: Attack,
  { port, random }: { port: number; random: Random },
): Promise<void> {
  const sending = which.sending(random);
  const got = await exchange({ ...sending, port });
  judge(which, got, sending.numResponses ?? 1);
}

function judge({ name, allowed }: Attack, { responses, end }: Exchange, numWanted: number): void {
  const told = `${name}: ${responses.map(({ status }) => status).join(' ')} ${end}`;
  if (responses.length === 0) {
    // We stop waiting where silence is all that was sent; the server's own limits are longer.
    assert.ok(allowed.includes('closed'), told);
    return;
  }
  if (numWanted > 1) assert.equal(responses.length, numWanted, told);
  for (const { status, body, headers } of responses) {
    assert.ok(allowed.includes(status), `${told} ${body.slice(0, 300)}`);
    // Node itself refuses a request without a host, in no words.
    if (status < 400 || status === 503 || (name === 'no host' && body === '')) continue;
    assert.match(headers['content-type'] ?? '', /application\/json/, told);
    const { error } = JSON.parse(body) as { error?: { message?: string } };
    assert.ok((error?.message ?? '').length > 0, `${told}: an error object with a message`);
    assert.doesNotMatch(body, /\/node_modules\/|\bat .*\.ts:\d+|root:x:/, told);
  }
}

/** One attack after another, in a shuffled order that a seed settles. */
export function* attacksInTurns(seed: number): Generator<Attack, never> {
  const random = new Random(seed, 'attacks');
  for (;;) {
    const order = random.shuffle(ATTACKS.map((_, i) => i));
    for (const index of order) yield at(ATTACKS, index);
  }
}

function deepSchema(depth: number): string {
  const schema = `${'{"type":"array","items":'.repeat(depth)}true${'}'.repeat(depth)}`;
  return `{"prompt":"a","max_tokens":1,"guided_json":${schema}}`;
}
