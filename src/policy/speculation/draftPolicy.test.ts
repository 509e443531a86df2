/** Drafts while they pay: a little world with prices, and what the policy makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../base/random.ts';
import { DraftPolicy } from './draftPolicy.ts';

interface World {
  /** Seconds of a pass over n sequences; with drafts twice the rows. */
  readonly plain: number;
  readonly verify: number;
  readonly draft: number;
  readonly sample: number;
  readonly acceptance: number;
  /** Relative noise of every time. */
  readonly noise: number;
}

/** Seconds for so many sequences of so many tokens, one after another. */
function run(
  policy: DraftPolicy,
  world: World,
  { numSequences, numTokens, seed }: { numSequences: number; numTokens: number; seed: number },
): number {
  const random = new Random(seed);
  const noisy = (seconds: number): number => seconds * (1 + world.noise * random.uniform());
  let total = 0;
  for (let sequenceId = 0; sequenceId < numSequences; sequenceId++) {
    let isDrafted = policy.begin(sequenceId, 'auto', 1);
    let hasDraft = false;
    for (let n = 0; n < numTokens; ) {
      const numDrafts = isDrafted ? policy.draftsFor(sequenceId, 'auto', 1) : 0;
      isDrafted &&= numDrafts > 0;
      const stood = hasDraft && random.uniform() < world.acceptance;
      const passSeconds = noisy(hasDraft ? world.verify : world.plain);
      const sampleSeconds = noisy(world.sample);
      const draftSeconds = numDrafts > 0 ? noisy(world.draft) : 0;
      total += passSeconds + sampleSeconds + draftSeconds;
      n += stood ? 2 : 1;
      const isPlain = policy.isPlainStep(1);
      if (hasDraft) {
        policy.noteDrafts(sequenceId, { numDrafted: 1, numAccepted: stood ? 1 : 0 });
      }
      const cost = { passSeconds, sampleSeconds, draftSeconds };
      policy.noteStep({ numSequences: 1, numDrafts: hasDraft ? 1 : 0, ...cost });
      hasDraft = numDrafts > 0 && !isPlain;
    }
    policy.end(sequenceId);
  }
  return total;
}

const LENGTH = { numSequences: 60, numTokens: 250 };

function plainSeconds(world: World, seed: number): number {
  return run(new DraftPolicy({ maxDrafts: 1, mode: 0 }), world, { ...LENGTH, seed });
}

function worldOf(gain: number, acceptance: number, noise: number): World {
  const [plain, sample, draft] = [1, 0.05, 0.15];
  // (1 + a) (plain + sample) / (verify + sample + draft) = gain
  const verify = ((1 + acceptance) * (plain + sample)) / gain - sample - draft;
  return { plain, verify, draft, sample, acceptance, noise };
}

test('DraftPolicy: where drafts do not pay it costs less than 2 % of plain decoding', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.5, max: 0.99, noNaN: true }),
      fc.double({ min: 0, max: 0.9, noNaN: true }),
      fc.nat(1000),
      (gain, acceptance, seed) => {
        const world = worldOf(gain, acceptance, 0.05);
        const policy = new DraftPolicy({ maxDrafts: 1, mode: 'auto' });
        const seconds = run(policy, world, { ...LENGTH, seed });
        const ratio = seconds / plainSeconds(world, seed);
        assert.ok(ratio < 1.02, `${ratio} at a gain of ${gain}`);
      },
    ),
    { numRuns: 60 },
  );
});

test('DraftPolicy: where drafts pay it keeps nearly all of what they win', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1.1, max: 1.7, noNaN: true }),
      fc.double({ min: 0.6, max: 0.95, noNaN: true }),
      fc.nat(1000),
      (gain, acceptance, seed) => {
        const world = worldOf(gain, acceptance, 0.05);
        const policy = new DraftPolicy({ maxDrafts: 1, mode: 'auto' });
        const seconds = run(policy, world, { ...LENGTH, seed });
        const always = new DraftPolicy({ maxDrafts: 1, mode: 1 });
        const best = run(always, world, { ...LENGTH, seed });
        assert.ok(seconds / best < 1.04, `${seconds / best} at a gain of ${gain}`);
      },
    ),
    { numRuns: 60 },
  );
});

test('DraftPolicy: it notices when texts change so that drafts stop paying', () => {
  const policy = new DraftPolicy({ maxDrafts: 1, mode: 'auto' });
  const paying = worldOf(1.4, 0.8, 0);
  run(policy, paying, { ...LENGTH, seed: 1 });
  assert.ok(policy.gainAt(1) > 1.3);
  const poor = { ...paying, acceptance: 0.1 };
  const seconds = run(policy, poor, { ...LENGTH, seed: 2 });
  assert.ok(seconds / plainSeconds(poor, 2) < 1.06);
  assert.ok(policy.gainAt(1) < 1);
});

test('DraftPolicy: a fixed number is kept to, a model without modules drafts nothing', () => {
  const fixed = new DraftPolicy({ maxDrafts: 1, mode: 2 });
  assert.ok(fixed.begin(1, 'auto', 1));
  assert.equal(fixed.draftsFor(1, 'auto', 1), 2);
  assert.equal(fixed.draftsFor(1, 0, 1), 0);
  assert.equal(fixed.isPlainStep(1), false);
  const none = new DraftPolicy({ maxDrafts: 0, mode: 'auto' });
  assert.equal(none.begin(1, 'auto', 1), false);
  assert.equal(none.draftsFor(1, 1, 1), 0);
});
