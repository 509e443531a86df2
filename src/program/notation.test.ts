/** Actions as text, there and back; what is no action is refused with its place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../base/errors.ts';
import { formatActions, formatScheduleCsv, parseActions, parseScheduleCsv } from './notation.ts';
import type { PipelineAction } from './pipelineAction.ts';

const pass = fc.record({ stage: fc.nat(40), microBatch: fc.nat(500) }, { noNullPrototype: true });
const action: fc.Arbitrary<PipelineAction> = fc.oneof(
  fc
    .tuple(fc.constantFrom('forward', 'backward', 'backwardInput', 'backwardWeight' as const), pass)
    .map(([kind, each]) => ({ kind, ...each }) as PipelineAction),
  fc
    .tuple(pass, pass)
    .map(([forward, backward]) => ({ kind: 'forwardBackward' as const, forward, backward })),
);

test('notation: any list of actions is read back as it was written', () => {
  fc.assert(
    fc.property(fc.array(action), (actions) => {
      assert.deepEqual(parseActions(formatActions(actions)), actions);
    }),
  );
});

test('notation: any text that is read is written again, but for its spaces', () => {
  const text = ' 0F3  1B2\n2I1 2W1\t(0F4;3B0)OVERLAP_F_B ';
  assert.equal(formatActions(parseActions(text)), '0F3 1B2 2I1 2W1 (0F4;3B0)OVERLAP_F_B');
  assert.deepEqual(parseActions('0F3 1B2'), [
    { kind: 'forward', stage: 0, microBatch: 3 },
    { kind: 'backward', stage: 1, microBatch: 2 },
  ]);
});

test('schedule CSV: rows of ranks are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(fc.array(action, { minLength: 1 }), { minLength: 1 }), (lists) => {
      // One rank per stage, as the format asks for.
      const ranks = lists.map((actions, rank) => actions.map((each) => onStage(each, rank)));
      assert.deepEqual(parseScheduleCsv(formatScheduleCsv(ranks, { pairs: 'together' })), ranks);
    }),
  );
});

function onStage(each: PipelineAction, stage: number): PipelineAction {
  if (each.kind !== 'forwardBackward') return { ...each, stage };
  return {
    ...each,
    forward: { ...each.forward, stage },
    backward: { ...each.backward, stage },
  };
}

test('schedule CSV: pairs are taken apart for readers that know none', () => {
  const ranks = [parseActions('0F0 (0F1;0B0)OVERLAP_F_B 0B1'), parseActions('1F0 1B0 1F1 1I1 1W1')];
  assert.equal(
    formatScheduleCsv(ranks, { pairs: 'together' }),
    '0F0,(0F1;0B0)OVERLAP_F_B,0B1\n1F0,1B0,1F1,1I1,1W1\n',
  );
  assert.equal(
    formatScheduleCsv(ranks, { pairs: 'apart' }),
    '0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1I1,1W1\n',
  );
});

test('schedule CSV: idle slots, quotes and line ends of other writers are read', () => {
  assert.deepEqual(parseScheduleCsv('0F0,,"0F1",\r\n, 1F0 ,1B0\r\n').map(formatActions), [
    '0F0 0F1',
    '1F0 1B0',
  ]);
});

function refusal(read: () => unknown): MoebiusError {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof MoebiusError && error.code === 'program.notation', String(error));
    return error;
  }
  return assert.fail('was read');
}

test('notation: what is no action is refused with its place and a way to write it', () => {
  for (const word of ['F3', '0X3', '0F', '-1F0', '0F1.5', '0f3', '0F3B1', '0F٣']) {
    const error = refusal(() => parseActions(`0F0 ${word}`));
    assert.match(error.message, /^word 2: /);
    assert.ok(error.message.includes(`"${word}"`));
    assert.match(error.hint ?? '', /0F3/);
  }
  const pair = refusal(() => parseActions('(0B3;1F2)OVERLAP_F_B'));
  assert.match(pair.hint ?? '', /a forward, then a backward/);
  const cell = refusal(() => parseScheduleCsv('0F0,0B0\n1F0,1SEND_B0\n'));
  assert.match(cell.message, /^row 2, column 2: "1SEND_B0"/);
  assert.match(cell.hint ?? '', /compute only/);
  assert.match(
    refusal(() => parseActions(`0F${'9'.repeat(20)}`)).message,
    /microBatch .* too large/,
  );
});

test('schedule CSV: a stage on two ranks is refused, and the folded schedule named', () => {
  const error = refusal(() =>
    formatScheduleCsv([parseActions('0F0 1F2'), parseActions('1F0')], { pairs: 'together' }),
  );
  assert.match(error.message, /stage 1 lies on ranks 0 and 1/);
  assert.match(error.hint ?? '', /dualpipev/);
});
