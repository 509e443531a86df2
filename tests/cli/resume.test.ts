/**
 * A training run that is killed and resumed goes on bit for bit: killed before chosen changes to
 * its files, by `kill -9` at random moments, and by Ctrl-C. Each run is a process of its own; the
 * uninterrupted one beside it is the measure.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import {
  assertRefused,
  jsonOf,
  lastLine,
  moebius,
  type Ran,
  startMoebius,
} from '../support/commandLine.ts';
import { assertSameRun } from '../support/sameRun.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { NUM_STEPS, tinyRun, writeText } from '../support/tinyRun.ts';

/** A checkpoint at every step: most of a run's time is then spent between two of them. */
const OFTEN = ['checkpoint.every=1', 'evaluation.every=2'];

interface Uninterrupted {
  readonly text: string;
  readonly out: string;
}

let whole: Uninterrupted;

before(async (context) => {
  const folder = temporaryFolder(context as TestContext);
  whole = { text: writeText(folder), out: join(folder, 'whole') };
  const ran = await moebius(...tinyRun(whole, OFTEN), '--json');
  assert.equal(lastLine(ran).step, NUM_STEPS);
});

/** The arguments to begin a run in `out`, or to go on with it where it has a checkpoint. */
function goOn(out: string): readonly string[] {
  const checkpoints = join(out, 'checkpoints');
  const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
  const isThere = names.some((name) => /^(step|\.replaced)-/.test(name));
  const args = [...tinyRun({ text: whole.text, out }, OFTEN), '--json'];
  return isThere ? [...args, '--resume'] : args;
}

async function finish(out: string): Promise<void> {
  const ran = await startMoebius(goOn(out)).ended;
  const { end, step } = lastLine(ran);
  assert.deepEqual({ end, step }, { end: 'finished', step: NUM_STEPS });
  assertSameRun(out, whole.out);
}

test('resume: killed before changes to its files again and again, the run is the same', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  // A checkpoint is about 40 changes: early and late in one, and in those that follow.
  const places: string[] = [];
  for (const change of [20, 44, 83]) {
    const ran = await startMoebius(goOn(out), { dieAtChange: change, dieIn: out }).ended;
    assert.equal(ran.code, 'SIGKILL', ran.stderr);
    places.push(/killed before (.*)/.exec(ran.stderr)?.[1] ?? '');
  }
  context.diagnostic(`killed before ${places.join(', ')}`);
  assert.equal(places.length, 3, 'it was killed each time');
  await finish(out);
});

test('resume: killed at a random moment, the run is the same', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  let timer: NodeJS.Timeout | undefined;
  const milliseconds = Math.floor(Math.random() * 400);
  const onStderr = (all: string, kill: (signal: NodeJS.Signals) => void): void => {
    // From the first step on; before it there is nothing to lose.
    if (/^step /m.test(all)) timer ??= setTimeout(() => kill('SIGKILL'), milliseconds);
  };
  const { code, stderr } = await startMoebius(goOn(out), { onStderr }).ended;
  clearTimeout(timer);
  const last = stderr.trimEnd().split('\n').at(-1);
  context.diagnostic(`${milliseconds} ms after the first step: ${code}, ${last}`);
  if (code !== 0) assert.equal(code, 'SIGKILL', stderr);
  await finish(out);
});

test('Ctrl-C: saves, says how, exits with 130, and the resumed run is the same', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  let isSent = false;
  const onStderr = (all: string, kill: (signal: NodeJS.Signals) => void): void => {
    if (isSent || !/^step 1\//m.test(all)) return;
    isSent = true;
    kill('SIGINT');
  };
  const ran = await startMoebius(goOn(out), { onStderr }).ended;
  assert.equal(ran.code, 130, ran.stderr);
  const { end, step, checkpoint } = jsonOf(ran);
  assert.equal(end, 'requested');
  assert.ok(Number(step) < NUM_STEPS, `${step} steps were done`);
  assert.ok(existsSync(join(String(checkpoint), 'model.safetensors')));
  await finish(out);
});

test('resume: without a run there is nothing to resume, and a run is not begun over', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  const args = tinyRun({ text: whole.text, out }, OFTEN);
  assertRefused(await moebius(...args, '--resume'), 'run.nothing');
  const again: Ran = await moebius(...tinyRun(whole, OFTEN));
  assertRefused(again, 'run.exists');
  assert.match(again.stderr, /--resume/);
});

test('resume: of two checkpoints of one step the later one is taken', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  cpSync(whole.out, out, { recursive: true });
  const at = (name: string): string => join(out, 'checkpoints', name);
  for (const attempt of [2, 10]) {
    cpSync(at('step-0000006'), at(`step-0000006-${attempt}`), { recursive: true });
  }
  const ran = await moebius(...tinyRun({ text: whole.text, out }, OFTEN), '--resume');
  assert.match(ran.stderr, /going on from .*step-0000006-10$/m);
});

test('resume: a damaged state, other text and another model are refused', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  cpSync(whole.out, out, { recursive: true });
  const resume = (...more: string[]): Promise<Ran> =>
    moebius(...tinyRun({ text: whole.text, out }, [...OFTEN, ...more]), '--resume');
  assertRefused(await resume('data.validation.share=0.5'), 'data.changed');
  assertRefused(await resume('depth=3'), 'checkpoint.mismatch');
  assertRefused(await resume('average.decay=0.9'), 'checkpoint.optimizer');
  writeFileSync(join(out, 'checkpoints', 'step-0000006', 'trainer_state.json'), '{"version": 1');
  const damaged = await resume();
  assertRefused(damaged, 'resume.state');
  assert.match(damaged.stderr, /step-0000006/);
});

test('resume: more steps than before go on from the end', async (context) => {
  const out = join(temporaryFolder(context), 'run');
  cpSync(whole.out, out, { recursive: true });
  const args = tinyRun({ text: whole.text, out }, [...OFTEN, `steps=${NUM_STEPS + 1}`]);
  const { end, step } = lastLine(await moebius(...args, '--resume', '--json'));
  assert.deepEqual({ end, step }, { end: 'finished', step: NUM_STEPS + 1 });
});

test('resume: a finished run has nothing left to do and changes nothing', async () => {
  const before = readdirSync(join(whole.out, 'checkpoints')).sort();
  const ran = await moebius(...tinyRun(whole, OFTEN), '--resume', '--json');
  const { end, step, checkpoint } = lastLine(ran);
  assert.deepEqual({ end, step }, { end: 'finished', step: NUM_STEPS });
  assert.ok(existsSync(String(checkpoint)));
  assert.deepEqual(readdirSync(join(whole.out, 'checkpoints')).sort(), before);
});
