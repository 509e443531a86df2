/** What an empty field promises is what is planned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownChoices } from './ownChoices.ts';
import { planForPage } from './planForPage.ts';
import { firstRequest, type PlanRequest } from './planRequest.ts';

test('ownChoices: a plan without options has every number that the empty fields show', () => {
  const requests: readonly PlanRequest[] = [
    firstRequest,
    { model: 'llama-3.1-70b', cluster: 'a100', gpus: [512], layout: 'tp8,pp4,zero1', mtp: true },
  ];
  for (const request of requests) {
    const own = ownChoices(request);
    const { plan } = planForPage(request).report;
    assert.ok(own !== null);
    assert.deepEqual([own.globalBatch, own.sequenceLength, own.microBatch].map(Number), [
      plan.globalBatch,
      plan.sequenceLength,
      plan.microBatchSize,
    ]);
    assert.deepEqual(
      [own.schedule, own.recompute, own.precision],
      [plan.schedule, plan.recompute, plan.precision],
    );
  }
});

test('ownChoices: a field shows its default whatever is written in it', () => {
  const own = ownChoices(firstRequest);
  const written = { schedule: '1f1b', recompute: 'full', globalBatch: 30720, gpus: [2048] };
  assert.deepEqual(ownChoices({ ...firstRequest, ...written }), own);
});

test('ownChoices: a search decides, and of what is refused there are none', () => {
  const { layout: _, ...open } = firstRequest;
  assert.deepEqual(ownChoices(open), {
    ...{ gpus: '2048', globalBatch: '15360', sequenceLength: '4096', precision: 'fp8' },
    ...{ microBatch: null, schedule: null, recompute: null },
  });
  assert.equal(ownChoices({ ...firstRequest, cluster: 'h900' }), null);
  const refused = ownChoices({ ...firstRequest, layout: 'pp3' });
  assert.deepEqual([refused?.globalBatch, refused?.schedule], ['15360', undefined]);
});
