/** The page's numbers are the command's: one function makes both, and here is the proof. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, moebiusJson } from '../../tests/support/commandLine.ts';
import { planForPage } from './planForPage.ts';
import type { PlanRequest } from './planRequest.ts';

interface Case {
  readonly name: string;
  readonly request: PlanRequest;
  readonly args: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: 'DeepSeek-V3 as its report describes it',
    request: {
      ...{ model: 'deepseek-v3', cluster: 'h800x2048', mtp: true },
      ...{ layout: 'pp16,ep64,zero1', schedule: 'dualpipe' },
    },
    args: [
      ...['--model', 'deepseek-v3', '--cluster', 'h800x2048'],
      ...['--layout', 'pp16,ep64,zero1', '--schedule', 'dualpipe'],
    ],
  },
  {
    name: 'a dense model with other sizes and changed hardware',
    request: {
      ...{ model: 'llama-3.1-70b', cluster: 'h100', gpus: [512], mtp: true },
      ...{ layout: 'tp8,pp4,zero1', globalBatch: 1024, microBatch: 1, tokens: 1e12 },
      whatIf: ['gpu.memoryBytesPerSecond*=2', 'scaleUp.bytesPerSecond/=2'],
    },
    args: [
      ...['--model', 'llama-3.1-70b', '--cluster', 'h100', '--gpus', '512'],
      ...['--layout', 'tp8,pp4,zero1', '--global-batch', '1024', '--micro-batch', '1'],
      ...['--tokens', '1e12', '--what-if', 'gpu.memoryBytesPerSecond*=2'],
      ...['--what-if', 'scaleUp.bytesPerSecond/=2'],
    ],
  },
  {
    name: 'a search over what the layout leaves open',
    request: {
      ...{ model: 'deepseek-v2-lite', cluster: 'h800', gpus: [64], mtp: false },
      ...{ layout: 'pp4,ep8-16,tp1,zero1', globalBatch: 512, sequenceLength: 4096 },
    },
    args: [
      ...['--model', 'deepseek-v2-lite', '--cluster', 'h800', '--gpus', '64', '--no-mtp'],
      ...['--layout', 'pp4,ep8-16,tp1,zero1', '--global-batch', '512'],
      ...['--sequence-length', '4096'],
    ],
  },
];

/** Numbers as JSON carries them; a search's own duration is the machine's, not the plan's. */
function comparable(json: Readonly<Record<string, unknown>>): Json {
  const { search, ...rest } = JSON.parse(JSON.stringify(json)) as Json;
  if (search === undefined) return rest;
  const { seconds: _, ...found } = search as Json;
  return { ...rest, search: found };
}

for (const { name, request, args } of cases) {
  test(`planForPage: ${name}: every number is that of the command`, async () => {
    const page = planForPage(request);
    const json = await moebiusJson('plan', 'train', ...args);
    assert.deepEqual(comparable(page.json), comparable(json));
    assert.equal(page.report.stepSeconds, json.stepSeconds);
    assert.deepEqual(page.report.memoryBytesPerRank, json.memoryBytesPerRank);
    assert.deepEqual(structuredClone(page), page, 'it can be sent by a worker');
  });
}

test('planForPage: on changed hardware the plan is faster, or refused with a hint', () => {
  const v3 = { model: 'deepseek-v3', cluster: 'h800x2048', mtp: true, layout: 'pp16,ep64,zero1' };
  const faster = planForPage({ ...v3, whatIf: ['gpu.memoryBytesPerSecond*=2'] });
  assert.ok(faster.changed?.kind === 'planned');
  assert.ok(faster.changed.report.stepSeconds < faster.report.stepSeconds);
  const { changed } = planForPage({ ...v3, whatIf: ['gpu.memoryBytes/=2'] });
  assert.ok(changed?.kind === 'refused');
  assert.equal(changed.refusal.code, 'plan.memory');
  assert.ok(changed.refusal.hint);
});

test('planForPage: what the command refuses, the page refuses by the same code', () => {
  const wrong = { model: 'deepseek-v3', cluster: 'h900', layout: 'pp16', mtp: true };
  assert.throws(() => planForPage(wrong), { code: 'cluster.unknown' });
  const uneven = { model: 'deepseek-v3', cluster: 'h800x2048', layout: 'pp3', mtp: true };
  assert.throws(() => planForPage(uneven), { name: 'MoebiusError' });
});
