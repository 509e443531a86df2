/** Talk between page and planner: the newest question counts, stopping stops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { createPlanClient, type PlanClient, type StartWorker } from './planClient.ts';
import { type PlanNews, type PlanQuestion, runPlanJob } from './planJob.ts';
import { firstRequest } from './planRequest.ts';

interface Workshop {
  readonly client: PlanClient;
  /** Lets the living worker do what it was asked last. */
  readonly work: () => void;
  readonly breakDown: () => void;
  readonly started: () => number;
}

/** Workers that work when told to, in this thread. */
function workshop(): Workshop {
  let started = 0;
  let waiting: (() => void) | null = null;
  let breakDown = (): void => {};
  const start: StartWorker = (tell, broke) => {
    started++;
    let isAlive = true;
    breakDown = () => broke('out of memory');
    return {
      postMessage: (question: PlanQuestion) => {
        waiting = () => {
          runPlanJob(question, {
            clock: new ManualClock(),
            tell: (news) => {
              if (isAlive) tell(structuredClone(news));
            },
          });
        };
      },
      terminate: () => {
        isAlive = false;
      },
    };
  };
  const client = createPlanClient(start);
  return {
    client,
    work: () => waiting?.(),
    breakDown: () => breakDown(),
    started: () => started,
  };
}

function gather(): { readonly news: PlanNews[]; readonly tell: (news: PlanNews) => void } {
  const news: PlanNews[] = [];
  return { news, tell: (each) => news.push(each) };
}

const wrong = { ...firstRequest, cluster: 'h900' };

test('planClient: a question gets progress and one answer, and the worker is kept', () => {
  const { client, work, started } = workshop();
  const first = gather();
  client.ask(firstRequest, first.tell);
  work();
  assert.deepEqual(
    first.news.map(({ kind }) => kind),
    ['progress', 'planned'],
  );
  const second = gather();
  client.ask(wrong, second.tell);
  work();
  const last = second.news.at(-1);
  assert.ok(last?.kind === 'refused');
  assert.equal(last.refusal.code, 'cluster.unknown');
  assert.equal(started(), 1);
});

test('planClient: a newer question ends the worker of the older one', () => {
  const { client, work, started } = workshop();
  const [older, newer] = [gather(), gather()];
  client.ask(wrong, older.tell);
  client.ask(wrong, newer.tell);
  work();
  assert.deepEqual(older.news, []);
  assert.equal(newer.news.at(-1)?.kind, 'refused');
  assert.equal(started(), 2);
});

test('planClient: after a stop nothing is told, and it can be asked again', () => {
  const { client, work } = workshop();
  const stopped = gather();
  client.ask(wrong, stopped.tell);
  client.cancel();
  work();
  assert.deepEqual(stopped.news, []);
  const again = gather();
  client.ask(wrong, again.tell);
  work();
  assert.equal(again.news.at(-1)?.kind, 'refused');
});

test('planClient: a worker that breaks down is said, and replaced by the next question', () => {
  const { client, work, breakDown, started } = workshop();
  const broken = gather();
  client.ask(wrong, broken.tell);
  breakDown();
  assert.deepEqual(broken.news, [{ kind: 'failed', id: 1, message: 'out of memory' }]);
  client.ask(wrong, gather().tell);
  work();
  assert.equal(started(), 2);
});
