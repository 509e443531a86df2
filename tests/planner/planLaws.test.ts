/**
 * Laws that no published number has to say, on random models, clusters and plans: better hardware
 * slows no pass, phases fill the step, twice the work takes at most twice the time, and spreading
 * gradients or weights further never saves time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { ClusterSpec, GpuSpec } from '../../src/config/clusterSpec.ts';
import type { TrainingPlan } from '../../src/config/parallelPlan.ts';
import { PassPrices } from '../../src/planner/passPrices.ts';
import { planMemory } from '../../src/planner/planMemory.ts';
import { PriceBook } from '../../src/planner/priceBook.ts';
import { plansOn } from '../../src/planner/search/evaluatePlan.ts';
import { type SimulatedStep, simulatePlan } from '../../src/planner/simulatePlan.ts';
import { randomRequest } from '../support/searchCases.ts';

interface Case {
  readonly book: PriceBook;
  readonly plan: TrainingPlan;
  readonly step: SimulatedStep;
}

function caseOf(seed: number, turn: number): Case | null {
  const request = randomRequest(seed);
  const { model, cluster } = request;
  assert.ok('gpu' in cluster);
  const plans = plansOn(request, cluster);
  if (plans.length === 0) return null;
  const plan = at(plans, turn % plans.length);
  const book = new PriceBook({ model, cluster });
  return { book, plan, step: simulated(book, plan) };
}

function simulated(book: PriceBook, plan: TrainingPlan): SimulatedStep {
  const { model, cluster } = book;
  return simulatePlan({ model, plan, cluster, book });
}

/** Laws hold up to the rounding of sums. */
const SLACK = 1 + 1e-9;
/** A faster transfer hides better, and what hides it then shares the memory with it. */
const SHARING = 1.01;

function holds(law: (of: Case) => void, numRuns = 12): void {
  fc.assert(
    fc.property(fc.nat(1e6), fc.nat(1e6), (seed, turn) => {
      const made = caseOf(seed, turn);
      if (made !== null) law(made);
    }),
    { numRuns },
  );
}

const stronger = (gpu: GpuSpec, by: number): GpuSpec => ({
  ...gpu,
  peakFlops: {
    bf16: gpu.peakFlops.bf16 * by,
    fp8: gpu.peakFlops.fp8 === null ? null : gpu.peakFlops.fp8 * by,
  },
  vectorFlops: gpu.vectorFlops * by,
});

const improvements: Readonly<Record<string, (cluster: ClusterSpec) => ClusterSpec>> = {
  'a faster NIC': (c) => ({
    ...c,
    scaleOut: { ...c.scaleOut, nicBytesPerSecond: 1.1 * c.scaleOut.nicBytesPerSecond },
  }),
  'a faster scale-up network': (c) => ({
    ...c,
    scaleUp: { ...c.scaleUp, bytesPerSecond: 1.1 * c.scaleUp.bytesPerSecond },
  }),
  'faster memory': (c) => ({
    ...c,
    gpu: { ...c.gpu, memoryBytesPerSecond: 1.2 * c.gpu.memoryBytesPerSecond },
  }),
  'faster cores': (c) => ({ ...c, gpu: stronger(c.gpu, 1.2) }),
  'no SM for communication': (c) => ({ ...c, communicationSms: 0 }),
};

test('passes: better hardware slows none of them', () => {
  holds(({ book, plan, step }) => {
    const { model } = book;
    // The same stages on both: which layers go where is chosen anew on other hardware.
    const { stages } = step;
    for (const [name, improve] of Object.entries(improvements)) {
      const other = new PriceBook({ model, cluster: improve(book.cluster) });
      const passes = new PassPrices({ model, plan, stages, costs: other.shape(plan).costs });
      for (const stage of stages.keys()) {
        for (const kind of ['forward', 'backward', 'backwardInput', 'backwardWeight'] as const) {
          const [before, after] = [step.passes.pass(kind, stage), passes.pass(kind, stage)];
          assert.ok(after.seconds <= before.seconds * SHARING, `${name}: ${kind} of ${stage}`);
        }
        const [before, after] = [step.passes.pair(stage, stage), passes.pair(stage, stage)];
        assert.ok(after.seconds <= before.seconds * SHARING, `${name}: pair of ${stage}`);
      }
    }
  });
});

test('simulatePlan: phases fill the step, and no product beats the data sheet', () => {
  holds(({ book, step }) => {
    const { seconds, relativeError } = step.step;
    assert.ok(relativeError > 0 && relativeError < 1);
    for (const phases of step.phasesOfRank) {
      const sum = Object.values(phases).reduce((total: number, each: number) => total + each, 0);
      assert.ok(Math.abs(sum / seconds - 1) < 1e-9);
    }
    const { bf16, fp8 } = book.cluster.gpu.peakFlops;
    for (const { price } of step.uses) {
      const flops = price.operations.reduce((sum, each) => sum + each.flops, 0);
      assert.ok(flops <= price.seconds * (fp8 ?? bf16));
    }
  });
});

test('simulatePlan: twice the sequences take longer, and at most twice as long', () => {
  holds(({ book, plan, step }) => {
    const twice = simulated(book, { ...plan, globalBatch: 2 * plan.globalBatch }).step.seconds;
    assert.ok(twice > step.step.seconds && twice <= 2 * step.step.seconds * SLACK);
  });
});

test('simulatePlan: ZeRO-2 sends gradients with every micro-batch, ZeRO-3 weights too', () => {
  holds(({ book, plan }) => {
    const passesOf = (zeroStage: 1 | 2 | 3): number => {
      const { phasesOfRank } = simulated(book, { ...plan, layout: { ...plan.layout, zeroStage } });
      const [{ '1F': F, '1B': B, '1W': W, '1F1B': FB } = at(phasesOfRank, 0)] = phasesOfRank;
      return F + B + W + FB;
    };
    assert.ok(passesOf(1) <= passesOf(2) * SLACK);
    assert.ok(passesOf(2) <= passesOf(3) * SLACK);
  });
});

test('auto: no policy as DeepSeek’s that fits is faster, but for its own split of layers', () => {
  holds(({ book, plan }) => {
    const { model } = book;
    const imbalance = book.imbalanceOf(plan);
    const unlimited = withMemory(book.cluster, 1e15);
    const memoryOf = (recompute: TrainingPlan['recompute'], cluster: ClusterSpec) =>
      planMemory({
        plan: { ...plan, recompute },
        book: new PriceBook({ model, cluster, imbalance }),
      });
    const peakOf = (recompute: TrainingPlan['recompute']): number =>
      Math.max(...memoryOf(recompute, unlimited).ranks.map(({ peak }) => peak.total));
    const [most, v3] = [peakOf('none'), peakOf('v3')];
    const small = withMemory(book.cluster, v3 + 0.3 * (most - v3));
    const { recompute, stages } = memoryOf('auto', small);
    assert.ok(recompute);
    const auto = simulatePlan({
      ...{ model, cluster: small, imbalance, recompute, stages },
      plan: { ...plan, recompute: 'auto' },
    });
    const named = simulated(book, { ...plan, recompute: 'v3' });
    // Stages are cut as without recomputation; a policy's own cut may be a little better.
    assert.ok(auto.step.seconds <= 1.02 * named.step.seconds);
  }, 8);
});

function withMemory(cluster: ClusterSpec, memoryBytes: number): ClusterSpec {
  const { gpu, host } = cluster;
  return { ...cluster, gpu: { ...gpu, memoryBytes }, host: { ...host, memoryBytes: 1e18 } };
}
