/** Two streams: order, waiting and exposure, on examples worked out by hand and on random lists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runStreams, type StreamName, type StreamTask } from './streams.ts';

function task(stream: StreamName, seconds: number, after: readonly number[] = []): StreamTask {
  return { stream, name: stream, layer: null, seconds, after };
}

test('runStreams: a transfer under a computation costs nothing, one nobody covers all of it', () => {
  const hidden = runStreams([
    task('compute', 1),
    task('communication', 2, [0]),
    task('compute', 3),
  ]);
  assert.equal(hidden.seconds, 4);
  assert.equal(hidden.exposedSeconds, 0);
  const bare = runStreams([
    task('compute', 1),
    task('communication', 2, [0]),
    task('compute', 3, [1]),
  ]);
  assert.equal(bare.seconds, 6);
  assert.equal(bare.exposedSeconds, 2);
});

test('runStreams: what is left of a transfer when computing ends is exposed', () => {
  const run = runStreams([task('communication', 5), task('compute', 2), task('compute', 1, [0])]);
  assert.equal(run.seconds, 6);
  assert.equal(run.exposedSeconds, 3);
  assert.equal(run.computeSeconds, 3);
});

test('runStreams: streams stay in order, nothing starts early, and no span is lost', () => {
  const stream = fc.constantFrom<StreamName>('compute', 'communication');
  const list = fc.array(fc.tuple(stream, fc.integer({ min: 0, max: 9 }), fc.nat()), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(list, (entries) => {
      const tasks = entries.map(([name, seconds, seed], i) =>
        task(name, seconds, i > 0 && seed % 3 > 0 ? [seed % i] : []),
      );
      const run = runStreams(tasks);
      const ends = { compute: 0, communication: 0 };
      for (const [index, { start, end, stream: own }] of run.taskSpans.entries()) {
        assert.ok(start >= ends[own]);
        ends[own] = end;
        for (const before of tasks[index]?.after ?? []) {
          assert.ok(start >= (run.taskSpans[before]?.end ?? Number.NaN));
        }
      }
      const { seconds, computeSeconds, communicationSeconds, exposedSeconds } = run;
      assert.ok(seconds >= Math.max(computeSeconds, communicationSeconds));
      assert.ok(seconds <= computeSeconds + communicationSeconds);
      assert.ok(exposedSeconds >= 0 && exposedSeconds <= communicationSeconds);
    }),
  );
});
