/** The list of checkpoints as a person reads it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderId } from '../../src/cli/studio/findFolders.ts';
import type { CheckpointSummary } from '../../src/server/studio/wire.ts';
import { nameOf, newestFirst } from './serving.ts';

const checkpoint: CheckpointSummary = {
  ...{ id: 'x', name: 'step-0000490', directory: 'models/x', runId: null },
  ...{ writtenAt: '2026-01-02T00:00:00.000Z', bytes: 1, speaks: 'text' },
};

test('nameOf: a run’s folder stands before the name, as it is written on the disk', () => {
  assert.equal(nameOf(checkpoint), 'step-0000490');
  const names = ['', 'start', 'größe/鲸 1~%'].map((folder) => {
    return nameOf({ ...checkpoint, runId: folderId('/runs', `/runs/${folder}`) });
  });
  assert.deepEqual(names, ['step-0000490', 'start / step-0000490', 'größe/鲸 1~% / step-0000490']);
});

test('newestFirst: by the time they were written', () => {
  const older = { ...checkpoint, id: 'y', writtenAt: '2026-01-01T23:59:59.000Z' };
  assert.deepEqual(
    newestFirst([older, checkpoint]).map(({ id }) => id),
    ['x', 'y'],
  );
});
