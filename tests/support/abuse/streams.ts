/**
 * Users who are no attackers: they stream, ask for whole answers, read slowly, and leave whenever
 * they like. Whoever stays gets a whole answer, or a refusal that says why.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { Random } from '../../../src/base/random.ts';

export type Behaviour = 'streams' | 'whole' | 'leaves' | 'leavesWhole' | 'readsSlowly';

const BEHAVIOURS: readonly Behaviour[] = [
  'streams',
  'whole',
  'leaves',
  'leavesWhole',
  'readsSlowly',
];

export function anyBehaviour(random: Random): Behaviour {
  return BEHAVIOURS[random.integer(BEHAVIOURS.length)] ?? 'streams';
}

export type Answer = 'answered' | 'refused' | 'left';

/** @throws AssertionError where an answer is neither whole nor a refusal */
export async function oneUser(
  behaviour: Behaviour,
  { port, random }: { port: number; random: Random },
): Promise<Answer> {
  const streams = behaviour !== 'whole' && behaviour !== 'leavesWhole';
  const body = JSON.stringify({
    prompt: Array.from({ length: 1 + random.integer(60) }, () => 97 + random.integer(20)),
    max_tokens: 1 + random.integer(48),
    temperature: random.integer(2),
    seed: random.integer(1000),
    ...(random.integer(4) === 0 ? { n: 2 } : {}),
    ...(random.integer(4) === 0 ? { logprobs: 2 } : {}),
    ...(random.integer(5) === 0 ? { stop: ['q'] } : {}),
    ...(streams ? { stream: true, stream_options: { include_usage: true } } : {}),
  });
  const leavesAfter = behaviour.startsWith('leaves') ? random.integer(60) : null;
  return new Promise<Answer>((resolve, reject) => {
    const call = request({
      host: '127.0.0.1',
      port,
      path: random.integer(2) === 0 ? '/v1/completions' : '/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    let hasLeft = false;
    const leave = (): void => {
      hasLeft = true;
      call.destroy();
      resolve('left');
    };
    if (leavesAfter !== null) setTimeout(leave, leavesAfter).unref();
    call.on('error', (error) => {
      if (!hasLeft) reject(new Error(`${behaviour}: ${error.message}`, { cause: error }));
    });
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', (error) => {
        if (!hasLeft) reject(new Error(`${behaviour}: ${error.message}`, { cause: error }));
      });
      response.on('data', (part: string) => {
        text += part;
        if (behaviour !== 'readsSlowly') return;
        response.pause();
        setTimeout(() => response.resume(), random.integer(150));
      });
      response.on('end', () => {
        if (hasLeft) return;
        try {
          resolve(judge(response.statusCode ?? 0, text, streams));
        } catch (error) {
          reject(error);
        }
      });
    });
    call.end(body);
  });
}

function judge(status: number, text: string, streams: boolean): Answer {
  if (status !== 200) {
    assert.ok(status === 429 || status === 503, `${status} ${text}`);
    const { error } = JSON.parse(text) as { error: { message: string } };
    assert.ok(error.message.length > 0);
    return 'refused';
  }
  if (!streams) {
    const { choices, error } = JSON.parse(text) as {
      choices?: { finish_reason: string }[];
      error?: { message: string };
    };
    if (error !== undefined) return 'refused';
    assert.ok(
      choices?.every(({ finish_reason }) => /^(stop|length)$/.test(finish_reason)),
      text,
    );
    return 'answered';
  }
  const events = text.split('\n\n').filter((event) => event.startsWith('data: '));
  assert.equal(events.at(-1), 'data: [DONE]', `a stream ends with its mark: ${text.slice(-200)}`);
  const ends = events.filter((event) => /"finish_reason":"(stop|length)"/.test(event)).length;
  assert.ok(ends >= 1, `every choice has an end: ${text.slice(-400)}`);
  assert.ok(
    events.some((event) => event.includes('"completion_tokens"')),
    'usage comes',
  );
  return 'answered';
}
