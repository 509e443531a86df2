/** Batches: every sequence comes to its end, blocks are never lost, and order is kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockManager } from '../cache/blockManager.ts';
import { type BatchPlan, BatchScheduler } from './batchScheduler.ts';

interface Job {
  readonly sequenceId: number;
  readonly ids: number[];
  readonly numPromptTokens: number;
  readonly total: number;
  readonly priority: number;
  numComputed: number;
}

function job(sequenceId: number, prompt: number[], numOutput: number, priority = 0): Job {
  const ids = [...prompt];
  const total = prompt.length + numOutput;
  return { sequenceId, ids, numPromptTokens: ids.length, total, priority, numComputed: 0 };
}

function submit(scheduler: BatchScheduler, each: Job): void {
  scheduler.add({ ...each, ids: each.ids, salt: '', wantsDrafts: false });
}

/** Runs a plan as an executor would: checks it against what each job has in the cache. */
function run(
  plan: BatchPlan,
  world: { scheduler: BatchScheduler; blocks: BlockManager; jobs: Map<number, Job> },
): number[] {
  const { scheduler, blocks, jobs } = world;
  const done: number[] = [];
  const jobOf = (sequenceId: number): Job => {
    const each = jobs.get(sequenceId);
    assert.ok(each !== undefined);
    return each;
  };
  for (const sequenceId of plan.preempted) jobOf(sequenceId).numComputed = 0;
  for (const { sequenceId, cachedPositions } of plan.admitted) {
    jobOf(sequenceId).numComputed = cachedPositions;
  }
  const advance = (each: Job, numRows: number, isSampled: boolean): void => {
    each.numComputed += numRows;
    assert.ok(blocks.blocksOf(each.sequenceId).length * blocks.blockSize >= each.numComputed);
    if (isSampled) each.ids.push(7 + (each.ids.length % 3));
    const { sequenceId, numComputed } = each;
    scheduler.complete(sequenceId, { numComputed, drafts: [], isDrafted: false });
    if (each.ids.length < each.total) return;
    scheduler.remove(sequenceId);
    jobs.delete(sequenceId);
    done.push(sequenceId);
  };
  for (const { sequenceId, first, count, isLast, form } of plan.chunks) {
    const each = jobOf(sequenceId);
    assert.equal(first, each.numComputed, 'a chunk goes on where the cache ends');
    assert.ok(count > 0);
    assert.equal(isLast, first + count === each.ids.length);
    assert.ok(form === 'prompt' || first >= each.numPromptTokens);
    advance(each, count, isLast);
  }
  for (const { sequenceId } of plan.decodes) {
    const each = jobOf(sequenceId);
    assert.equal(each.numComputed, each.ids.length - 1);
    advance(each, 1, true);
  }
  return done;
}

test('BatchScheduler: whatever comes, every sequence ends and every block is given back', () => {
  const request = fc.record({
    prompt: fc.array(fc.nat(1), { minLength: 1, maxLength: 20 }),
    numOutput: fc.integer({ min: 1, max: 12 }),
    priority: fc.nat(1),
    after: fc.nat(3),
  });
  let numPreempted = 0;
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 1, maxLength: 12 }),
      fc.record({ maxSequences: fc.integer({ min: 1, max: 5 }), isDeterministic: fc.boolean() }),
      fc.integer({ min: 1, max: 12 }),
      (requests, options, tokenBudget) => {
        const blocks = new BlockManager({ numBlocks: 10, blockSize: 4 });
        const scheduler = new BatchScheduler(blocks, { ...options, tokenBudget });
        const jobs = new Map<number, Job>();
        const ended: number[] = [];
        const arrivals = [...requests.entries()];
        let wait = 0;
        for (let step = 0; arrivals.length + jobs.size > 0; step++) {
          assert.ok(step < 2000, 'all of it ends');
          while (arrivals.length > 0 && wait-- <= 0) {
            const [sequenceId, each] = arrivals.shift() as [number, (typeof requests)[number]];
            const next = job(sequenceId, each.prompt, each.numOutput, each.priority);
            jobs.set(sequenceId, next);
            submit(scheduler, next);
            wait = each.after;
          }
          const plan = scheduler.next();
          numPreempted += plan.preempted.length;
          const rows = plan.chunks.reduce((sum, { count }) => sum + count, 0);
          assert.ok(rows + plan.decodes.length <= Math.max(tokenBudget, 4 + plan.decodes.length));
          assert.ok(scheduler.numRunning <= options.maxSequences);
          assert.ok(jobs.size === 0 || rows + plan.decodes.length > 0, 'something always runs');
          ended.push(...run(plan, { scheduler, blocks, jobs }));
        }
        assert.equal(ended.length, requests.length);
        assert.equal(blocks.numFree, 10);
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(numPreempted > 0, 'blocks ran out at times');
});

test('BatchScheduler: a long prompt is run in chunks beside sequences that decode', () => {
  const blocks = new BlockManager({ numBlocks: 20, blockSize: 4 });
  const limits = { maxSequences: 4, tokenBudget: 6, isDeterministic: false };
  const scheduler = new BatchScheduler(blocks, limits);
  const jobs = new Map<number, Job>();
  const short = job(1, [1, 2], 9);
  const long = job(2, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2);
  for (const each of [short, long]) {
    jobs.set(each.sequenceId, each);
    submit(scheduler, each);
  }
  const world = { scheduler, blocks, jobs };
  const shapes: string[] = [];
  for (let step = 0; step < 4; step++) {
    const plan = scheduler.next();
    const chunks = plan.chunks.map(({ sequenceId, count }) => `${sequenceId}+${count}`);
    shapes.push(`${chunks.join(' ')} | ${plan.decodes.map((each) => each.sequenceId).join(' ')}`);
    run(plan, world);
  }
  assert.deepEqual(shapes, ['1+2 2+4 | ', '2+5 | 1', '2+3 | 1', ' | 1 2']);
});

test('BatchScheduler: better priority takes the place of worse, arrival decides among equals', () => {
  const blocks = new BlockManager({ numBlocks: 20, blockSize: 4 });
  const limits = { maxSequences: 1, tokenBudget: 8, isDeterministic: false };
  const scheduler = new BatchScheduler(blocks, limits);
  const jobs = new Map<number, Job>();
  const begin = (each: Job): void => {
    jobs.set(each.sequenceId, each);
    submit(scheduler, each);
  };
  begin(job(1, [1, 2], 4, 1));
  run(scheduler.next(), { scheduler, blocks, jobs });
  begin(job(2, [3, 4], 2, 0));
  begin(job(3, [5, 6], 2, 0));
  const ended: number[] = [];
  for (let step = 0; jobs.size > 0 && step < 40; step++) {
    ended.push(...run(scheduler.next(), { scheduler, blocks, jobs }));
  }
  assert.deepEqual(ended, [2, 3, 1]);
});
