/** The contract of the gate, the balance loss, and the way of rows to experts and back. */
import fc from 'fast-check';
import { assert, at } from '../../src/base/assert.ts';
import type { RoutingRule } from '../../src/kernels/kernels.ts';
import { type KernelCase, kernelCase, sequenceOffsets, size, sizeOrNone } from './kernelCase.ts';
import { type Expectation, each, exactly, gradient, withinLargest } from './oracle.ts';
import type { Operand, Workbench } from './workbench.ts';

interface RouteShape {
  readonly tokens: number;
  readonly numExperts: number;
  readonly rule: RoutingRule;
}

const rules: fc.Arbitrary<RouteShape> = fc
  .record({
    tokens: sizeOrNone(20),
    groups: fc.integer({ min: 1, max: 8 }),
    groupSize: fc.integer({ min: 2, max: 33 }),
    kept: fc.integer({ min: 1, max: 8 }),
    top: fc.integer({ min: 1, max: 9 }),
    scoring: fc.constantFrom('sigmoid' as const, 'softmax' as const),
    groupScore: fc.constantFrom('sumOfTopTwo' as const, 'max' as const),
    isNormalised: fc.boolean(),
  })
  .map(({ tokens, groups, groupSize, kept, top, scoring, groupScore, isNormalised }) => {
    const groupsKept = Math.min(kept, groups);
    const expertsPerToken = Math.min(top, groupsKept * groupSize);
    const numExperts = groups * groupSize;
    const data = { scoring, groupScore, isNormalised, numGroups: groups, groupsKept };
    return { tokens, numExperts, rule: { ...data, expertsPerToken, scale: 2.5 } };
  });

const V3: RouteShape = {
  tokens: 40,
  numExperts: 256,
  rule: {
    scoring: 'sigmoid',
    numGroups: 8,
    groupsKept: 4,
    groupScore: 'sumOfTopTwo',
    expertsPerToken: 8,
    isNormalised: true,
    scale: 2.5,
  },
};

export const routingCases: readonly KernelCase[] = [
  kernelCase({
    name: 'routeTopK: the rule’s experts, ties to the lower index, weights without the bias',
    shapes: rules,
    runs: 50,
    always: [V3],
    lay: (bench, { tokens, numExperts, rule }) => {
      const { logits, bias } = layGate(bench, { tokens, numExperts, rule });
      const earlier = Int32Array.from({ length: numExperts }, () => bench.random.integer(9));
      const counts = bench.changed('i32', [numExperts], earlier);
      const outputs = {
        scores_TE: bench.output([tokens, numExperts]),
        ids_TK: bench.outputInts([tokens, rule.expertsPerToken]),
        weights_TK: bench.output([tokens, rule.expertsPerToken]),
        counts_E: counts.tensor,
      };
      bench.kernels.routeTopK({ ...outputs, logits_TE: logits.tensor, bias_E: bias.tensor, rule });
      const routed = route(logits.values, bias.values, { tokens, numExperts, rule });
      bench.expect(outputs.scores_TE, () => relative(routed.scores, 16));
      bench.expect(outputs.ids_TK, () => exactly(routed.ids));
      bench.expect(outputs.weights_TK, () => relative(routed.weights, 40));
      bench.expect(counts.tensor, () => {
        const total = Float64Array.from(counts.values);
        for (const id of routed.ids) total[id] = at(total, id) + 1;
        return exactly(total);
      });
    },
  }),
  kernelCase({
    name: 'routeTopK: a row of NaN still names experts that exist',
    shapes: rules.filter(({ tokens }) => tokens > 0),
    runs: 10,
    lay: (bench, { tokens, numExperts, rule }) => {
      const logits = bench.normal([tokens, numExperts]);
      logits.fill(Number.NaN, 0, numExperts);
      const counts = bench.changed('i32', [numExperts], new Int32Array(numExperts));
      const ids = bench.outputInts([tokens, rule.expertsPerToken]);
      bench.kernels.routeTopK({
        scores_TE: bench.output([tokens, numExperts]),
        ids_TK: ids,
        weights_TK: bench.output([tokens, rule.expertsPerToken]),
        counts_E: counts.tensor,
        logits_TE: bench.floats([tokens, numExperts], logits).tensor,
        bias_E: bench.floats([numExperts], new Float32Array(numExperts)).tensor,
        rule,
      });
      // Whichever they are: within ± half of the range around its middle.
      const middle = (numExperts - 1) / 2;
      const count = tokens * rule.expertsPerToken;
      bench.expect(ids, () => ({ values: new Float64Array(count).fill(middle), bounds: middle }));
    },
  }),
  kernelCase({
    name: 'routeTopKBackward: the gradient through weights and scores by finite differences',
    shapes: fc.record({
      shape: rules.map((shape) => ({ ...shape, tokens: Math.min(shape.tokens, 3) })),
      hasScores: fc.boolean(),
    }),
    runs: 30,
    always: [{ shape: { ...V3, tokens: 12 }, hasScores: true }],
    lay: (bench, { shape: { tokens, rule, numExperts }, hasScores }) => {
      const logits = bench.normal([tokens, numExperts]);
      const routed = route(logits, new Float32Array(numExperts), { tokens, numExperts, rule });
      const dWeights = bench.floats([tokens, rule.expertsPerToken]);
      const dScores = hasScores ? bench.floats([tokens, numExperts]) : undefined;
      const dLogits = bench.output([tokens, numExperts]);
      bench.kernels.routeTopKBackward({
        dLogits_TE: dLogits,
        dWeights_TK: dWeights.tensor,
        ...(dScores ? { dScores_TE: dScores.tensor } : {}),
        scores_TE: bench.floats([tokens, numExperts], routed.scores).tensor,
        ids_TK: bench.ints([tokens, rule.expertsPerToken], routed.ids).tensor,
        rule,
      });
      bench.expect(dLogits, () => {
        const values = new Float64Array(tokens * numExperts);
        for (let t = 0; t < tokens; t++) {
          const chosen = routed.ids.slice(t * rule.expertsPerToken, (t + 1) * rule.expertsPerToken);
          const loss = (x: Float64Array): number => {
            const scores = affinities(x, rule.scoring);
            let total = 0;
            weightsOf(scores, chosen, rule).forEach((weight, k) => {
              total += weight * at(dWeights.values, t * rule.expertsPerToken + k);
            });
            if (dScores) {
              scores.forEach((score, e) => {
                total += score * at(dScores.values, t * numExperts + e);
              });
            }
            return total;
          };
          const row = Float64Array.from(logits.subarray(t * numExperts, (t + 1) * numExperts));
          values.set(gradient(loss, row), t * numExperts);
        }
        return withinLargest(values, 1e-5, 0.1);
      });
    },
  }),
  kernelCase({
    name: 'balanceLoss: Σ f · P in both forms, its gradient by finite differences with f held',
    shapes: fc.record({
      sequences: sequenceOffsets({ maxCount: 3, maxLength: 5 }),
      numExperts: size(20),
      top: fc.integer({ min: 1, max: 6 }),
      form: fc.constantFrom('paper' as const, 'selected' as const),
      scoring: fc.constantFrom('sigmoid' as const, 'softmax' as const),
      // A coarse grid makes equal scores, whose order counts in the paper's form.
      grid: fc.constantFrom(2, 1e6),
    }),
    runs: 50,
    always: [
      {
        ...{ sequences: [0, 200, 330], numExperts: 64, top: 6 },
        ...{ form: 'paper', scoring: 'sigmoid', grid: 2 },
      },
    ],
    lay: (bench, { sequences, numExperts, top, form, scoring, grid }) => {
      const perToken = Math.min(top, numExperts);
      const tokens = at(sequences, sequences.length - 1);
      const coefficient = 0.01;
      const scores = new Float32Array(tokens * numExperts);
      const used = new Int32Array(tokens * perToken);
      for (let t = 0; t < tokens; t++) {
        const logits = bench.normal([numExperts]).map((x) => Math.round(x * grid) / grid);
        scores.set(affinities(logits, scoring), t * numExperts);
        const all = Int32Array.from({ length: numExperts }, (_, e) => e);
        used.set(bench.random.shuffle(all).subarray(0, perToken), t * perToken);
      }
      const loss = bench.output([1]);
      const dScores = bench.output([tokens, numExperts]);
      bench.kernels.balanceLoss({
        loss,
        dScores_TE: dScores,
        scores_TE: bench.floats([tokens, numExperts], scores).tensor,
        ids_TK: bench.ints([tokens, perToken], used).tensor,
        sequences,
        form,
        scoring,
        coefficient,
      });
      const real = sequences.slice(1).flatMap((end, i) => {
        const first = at(sequences, i);
        return end > first ? [{ first, end }] : [];
      });
      // How often a sequence's tokens count for an expert: constant as far as gradients go.
      const hits = real.map(({ first, end }) => {
        const perExpert = new Int32Array(numExperts);
        for (let t = first; t < end; t++) {
          const row = scores.subarray(t * numExperts, (t + 1) * numExperts);
          const chosen = used.subarray(t * perToken, (t + 1) * perToken);
          for (const id of form === 'selected' ? chosen : falling(row).slice(0, perToken)) {
            perExpert[id] = at(perExpert, id) + 1;
          }
        }
        return perExpert;
      });
      // What a row adds to the loss, and so all that its scores move.
      const rowShare = (row: ArrayLike<number>, sequence: number): number => {
        const { first, end } = at(real, sequence);
        let [sum, product] = [0, 0];
        for (let e = 0; e < numExperts; e++) {
          sum += at(row, e);
          product += at(at(hits, sequence), e) * at(row, e);
        }
        const mean = scoring === 'sigmoid' ? product / sum : product;
        const length = end - first;
        return ((numExperts / (perToken * length)) * mean) / length / real.length;
      };
      const rows = real.flatMap(({ first, end }, sequence) =>
        Array.from({ length: end - first }, (_, i) => {
          const from = (first + i) * numExperts;
          return { from, sequence, scores: scores.subarray(from, from + numExperts) };
        }),
      );
      bench.expect(loss, () =>
        each({
          count: 1,
          roundings: 64,
          value: () => rows.reduce((sum, row) => sum + rowShare(row.scores, row.sequence), 0),
        }),
      );
      bench.expect(dScores, () => {
        const slope = new Float64Array(tokens * numExperts);
        for (const { from, sequence, scores: row } of rows) {
          const ofRow = gradient((x) => rowShare(x, sequence), row, 1e-4);
          slope.set(
            ofRow.map((x) => coefficient * x),
            from,
          );
        }
        return withinLargest(slope, 1e-5, coefficient / Math.max(1, tokens));
      });
    },
  }),
  kernelCase({
    name: 'updateRouterBias: one step toward the mean by sign, none when at it',
    shapes: size(300),
    lay: (bench, numExperts) => {
      const values = Int32Array.from({ length: numExperts }, () => bench.random.integer(3));
      const counts = bench.ints([numExperts], values);
      const bias = bench.changed('f32', [numExperts]);
      bench.kernels.updateRouterBias({
        bias_E: bias.tensor,
        counts_E: counts.tensor,
        speed: 0.001,
      });
      const mean = values.reduce((sum, value) => sum + value, 0) / numExperts;
      bench.expect(bias.tensor, () =>
        each({
          count: numExperts,
          roundings: 2,
          value: (e) => at(bias.values, e) + 0.001 * Math.sign(mean - at(values, e)),
          magnitude: (e) => Math.abs(at(bias.values, e)) + 0.001,
        }),
      );
    },
  }),
];

function affinities(logits: ArrayLike<number>, scoring: RoutingRule['scoring']): Float64Array {
  const values = Float64Array.from(logits);
  if (scoring === 'sigmoid') return values.map((x) => 1 / (1 + Math.exp(-x)));
  const most = Math.max(...values);
  const weights = values.map((x) => Math.exp(x - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Indices by falling value; the sort is stable, so ties keep their order. */
function falling(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => at(values, b) - at(values, a));
}

function weightsOf(scores: Float64Array, chosen: ArrayLike<number>, rule: RoutingRule): number[] {
  const raw = Array.from(chosen, (id) => at(scores, id));
  const sum = raw.reduce((total, score) => total + score, 1e-20);
  return raw.map((score) => (rule.isNormalised ? score / sum : score) * rule.scale);
}

interface Routed {
  readonly scores: Float64Array;
  readonly ids: Int32Array;
  readonly weights: Float64Array;
}

/** By sorting whole rows, where the kernels select. */
function route(logits: Float32Array, bias: Float32Array, shape: RouteShape): Routed {
  const { tokens, numExperts, rule } = shape;
  const { expertsPerToken, numGroups, groupsKept } = rule;
  const groupSize = numExperts / numGroups;
  const scores = new Float64Array(tokens * numExperts);
  const ids = new Int32Array(tokens * expertsPerToken);
  const weights = new Float64Array(tokens * expertsPerToken);
  for (let t = 0; t < tokens; t++) {
    const row = affinities(logits.subarray(t * numExperts, (t + 1) * numExperts), rule.scoring);
    // In float32 what is equal there is equal here.
    const choice = Float32Array.from(row, (score, e) => Math.fround(score) + at(bias, e));
    const worth = Array.from({ length: numGroups }, (_, group) => {
      const best = choice
        .slice(group * groupSize, (group + 1) * groupSize)
        .sort()
        .reverse();
      return rule.groupScore === 'max' ? at(best, 0) : Math.fround(at(best, 0) + at(best, 1));
    });
    const kept = new Set(falling(worth).slice(0, groupsKept));
    const allowed = falling(choice).filter((e) => kept.has(Math.floor(e / groupSize)));
    const chosen = allowed.slice(0, expertsPerToken);
    scores.set(row, t * numExperts);
    ids.set(chosen, t * expertsPerToken);
    weights.set(weightsOf(row, chosen, rule), t * expertsPerToken);
  }
  return { scores, ids, weights };
}

/**
 * Logits and biases that leave nothing to rounding: on a grid, where equal pairs are common and so
 * are ties, and never nearer than float32 can tell apart without being equal.
 */
function layGate(
  bench: Workbench,
  shape: RouteShape,
): { logits: Operand<'f32'>; bias: Operand<'f32'> } {
  const { tokens, numExperts } = shape;
  // Off the symmetry of the sigmoid: σ(x) + σ(−x) is 1 for every x, but only before rounding.
  const onGrid = (x: number): number => Math.round(4 * x) / 4 + 0.0625;
  const bias = bench.normal([numExperts]).map((x) => Math.round(4 * x) / 32);
  const logits = new Float32Array(tokens * numExperts);
  for (let t = 0; t < tokens; t++) {
    const row = logits.subarray(t * numExperts, (t + 1) * numExperts);
    let tries = 0;
    do {
      row.set(bench.normal([numExperts]).map(onGrid));
      assert(tries++ < 1000, 'no logits without near-ties');
    } while (!isDecisive(row, bias, shape.rule));
  }
  return {
    logits: bench.floats([tokens, numExperts], logits),
    bias: bench.floats([numExperts], bias),
  };
}

/** Whether every two choice values, and group values, are equal by construction or well apart. */
function isDecisive(logits: Float32Array, bias: Float32Array, rule: RoutingRule): boolean {
  const scores = affinities(logits, rule.scoring);
  const choice = scores.map((score, e) => score + at(bias, e));
  const isClear = (values: Float64Array, makings: readonly string[]): boolean => {
    const order = falling(values);
    return order.slice(1).every((lower, i) => {
      const upper = at(order, i);
      const gap = at(values, upper) - at(values, lower);
      return gap > 1e-6 || makings[upper] === makings[lower];
    });
  };
  const experts = Array.from(logits, (logit, e) => `${logit} ${at(bias, e)}`);
  const groupSize = logits.length / rule.numGroups;
  const groups = Array.from({ length: rule.numGroups }, (_, group) => {
    const members = choice.slice(group * groupSize, (group + 1) * groupSize);
    const numBest = rule.groupScore === 'max' ? 1 : 2;
    const best = falling(members).slice(0, Math.min(numBest, groupSize));
    return {
      worth: best.reduce((sum, e) => sum + at(members, e), 0),
      making: best.map((e) => at(experts, group * groupSize + e)).join(),
    };
  });
  const worth = Float64Array.from(groups, (group) => group.worth);
  return (
    isClear(choice, experts) &&
    isClear(
      worth,
      groups.map(({ making }) => making),
    )
  );
}

function relative(values: Float64Array, roundings: number): Expectation {
  return each({ count: values.length, roundings, value: (i) => at(values, i) });
}
