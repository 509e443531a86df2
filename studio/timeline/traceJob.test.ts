/** The worker's half of reading a trace: progress, then rows, or a reason in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runTraceJob, type TraceNews } from './traceJob.ts';

async function newsOf(text: string): Promise<TraceNews[]> {
  const told: TraceNews[] = [];
  await runTraceJob(new Blob([text]), (news) => told.push(news));
  return told;
}

test('runTraceJob: progress ends at the whole file, then the rows are told', async () => {
  const event = { ph: 'X', name: 'forward', cat: 'forward', pid: 0, tid: 1, ts: 50, dur: 10 };
  const events = Array.from({ length: 5000 }, (_, index) => ({ ...event, ts: 20 * index }));
  const told = await newsOf(JSON.stringify(events));
  const shares = told.flatMap((news) => (news.kind === 'progress' ? [news.share] : []));
  assert.equal(shares.at(-1), 1);
  assert.ok(shares.length <= 101);
  const last = told.at(-1);
  assert.ok(last?.kind === 'read');
  assert.equal(last.trace.summary.numSpans, 5000);
});

test('runTraceJob: what is no trace is told with its reason and what to do', async () => {
  const last = (await newsOf('{"traceEvents": 3}')).at(-1);
  assert.ok(last?.kind === 'unread');
  assert.match(last.reason, /"traceEvents" is no array: it begins with "3"\. \w/);
});
