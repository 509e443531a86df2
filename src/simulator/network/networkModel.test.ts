/** The network as the planner asks it: laws of size and direction, failures, refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { h800Cluster } from '../../../tests/support/h800Cluster.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { FabricKind } from '../../config/clusterSpec.ts';
import type { ExpertExchange } from '../networkModel.ts';
import { allToAllSeconds, gatherSeconds } from './collectives.ts';
import { completionSeconds, fabricSlowdown, fullestLinkSeconds } from './completion.ts';
import { createNetworkModel } from './createNetworkModel.ts';
import { unfoldedFlows } from './foldFlows.ts';
import { imbalanceCurve, imbalanceOfLoads } from './imbalanceCurve.ts';
import { simulateFlows } from './maxMin.ts';
import { buildTopology } from './topology.ts';
import { groupsOf, railsOf, ringStep, shift } from './traffic.ts';

/** V3's dispatch in training: 4,096 tokens to 64 ranks in FP8 with scales, four nodes at most. */
const training: ExpertExchange = {
  group: { size: 64, stride: 1 },
  tokensPerRank: 4096,
  bytesPerToken: 7392,
  expertsPerToken: 8,
  numExperts: 256,
  nodeLimit: 4,
  imbalance: 1,
  numSms: 20,
};

const fabrics: readonly FabricKind[] = ['multi-plane-fat-tree', 'multi-rail-fat-tree', 'fat-tree'];

function near(found: number, expected: number, share: number): void {
  assert.ok(Math.abs(found / expected - 1) <= share, `${found} is not near ${expected}`);
}

test('one plane a NIC and one rail a NIC: training’s exchanges within 1 % (ISCA 2025, table 4)', () => {
  const [planes, rails] = (['static', 'adaptive'] as const).map((routing) =>
    createNetworkModel(
      h800Cluster({
        scaleOut: {
          routing,
          kind: routing === 'static' ? 'multi-plane-fat-tree' : 'multi-rail-fat-tree',
        },
      }),
    ),
  );
  assert.ok(planes !== undefined && rails !== undefined);
  const all = { size: 2048, stride: 1 };
  near(planes.dispatch(training).seconds, rails.dispatch(training).seconds, 0.01);
  near(
    planes.allToAll({ bytes: 1e9, group: all }).seconds,
    rails.allToAll({ bytes: 1e9, group: all }).seconds,
    0.01,
  );
  // The same of the flows themselves, EP64 and all 2,048.
  for (const size of [64, 2048]) {
    const seconds = [planes, rails].map(({ topology }) =>
      completionSeconds(topology, {
        kind: 'allToAll',
        groups: groupsOf({ size, stride: 1, numGpus: 2048 }),
        bytes: 1e6,
      }),
    );
    near(at(seconds, 0), at(seconds, 1), 0.01);
  }
});

test('all-to-all: the closed form is the simulation of every flow', () => {
  for (const kind of fabrics) {
    for (const [size, stride] of [
      [64, 1],
      [16, 1],
      [8, 8],
      [8, 1],
      [4, 4],
    ] as const) {
      const cluster = h800Cluster({ numGpus: 128, scaleOut: { kind } });
      const bytes = 5e8;
      const topology = buildTopology(cluster);
      const groups = groupsOf({ size, stride, numGpus: 128 });
      const traffic = { kind: 'allToAll', groups, bytes: bytes / (size - 1) } as const;
      const flows = simulateFlows(unfoldedFlows(topology, traffic)).seconds;
      const form = allToAllSeconds({
        cluster,
        group: { size, stride },
        bytes,
        fabricSlowdown: 1,
        messageSeconds: 0,
      });
      // The form has NVLink's latency, the flows that of their longest way.
      near(form, flows, 0.003);
    }
  }
});

test('all-gather: hierarchical is the slower of its simulated phases, ring not far from it', () => {
  const cluster = h800Cluster({ numGpus: 128, scaleOut: { kind: 'multi-rail-fat-tree' } });
  const topology = buildTopology(cluster);
  for (const [size, stride] of [
    [128, 1],
    [32, 4],
    [16, 8],
  ] as const) {
    const bytes = 64e9;
    const groups = groupsOf({ size, stride, numGpus: 128 });
    const perNode = Math.max(1, 8 / stride);
    const numNodes = size / perNode;
    // Between nodes each rank passes its rail's shares on; inside, each what its rail brought.
    const step = ringStep({ groups: railsOf(groups, 8), bytes: bytes / size });
    const between = (numNodes - 1) * completionSeconds(topology, step);
    const local = groupsOf({ size: perNode, stride, numGpus: 128 });
    const inner = ringStep({ groups: local, bytes: bytes / perNode });
    const inside = (perNode - 1) * completionSeconds(topology, inner);
    const setting = {
      cluster,
      group: { size, stride },
      bytes,
      fabricSlowdown: 1,
      messageSeconds: 2.8e-6,
    };
    near(gatherSeconds(setting, 'hierarchical'), Math.max(between, inside), 0.001);
    near(gatherSeconds(setting, 'ring'), gatherSeconds(setting, 'hierarchical'), 0.07);
  }
});

test('whole fabrics that nothing blocks: every pattern goes at the speed of its NICs', () => {
  for (const kind of fabrics) {
    for (const routing of ['static', 'adaptive'] as const) {
      const topology = buildTopology(h800Cluster({ numGpus: 512, scaleOut: { kind, routing } }));
      const nic = topology.bandwidth[topology.blocks.nicOut] ?? 0;
      const groups = railsOf(groupsOf({ size: 512, stride: 1, numGpus: 512 }), 8);
      const bytes = 1e12;
      near(completionSeconds(topology, ringStep({ groups, bytes })) * nic, bytes, 1e-6);
      near(
        completionSeconds(topology, shift({ numGpus: 512, stride: 64, bytes })) * nic,
        bytes,
        1e-6,
      );
      const all = { kind: 'allToAll', groups, bytes } as const;
      near(completionSeconds(topology, all) * nic, bytes * 63, 1e-6);
      assert.equal(fabricSlowdown(topology, { kind: 'ring', size: 512, stride: 1 }), 1);
    }
  }
});

test('oversubscription of 4: what crosses leaves takes four times as long, the rest as before', () => {
  // 64 ports down and 16 up: 64 of the 256 nodes to a leaf.
  const scaleOut = { oversubscription: 4, switchPorts: 80, kind: 'multi-rail-fat-tree' } as const;
  const topology = buildTopology(h800Cluster({ scaleOut }));
  near(fabricSlowdown(topology, { kind: 'shift', stride: 8 * 64 }), 4, 0.001);
  near(fabricSlowdown(topology, { kind: 'exchange', size: 64, stride: 1 }), 1, 0.001);
});

test('one plane of eight down: exchanges between nodes take 8/7', () => {
  const topology = buildTopology(h800Cluster({ numGpus: 512, scaleOut: { failedPlanes: [2] } }));
  const groups = groupsOf({ size: 512, stride: 1, numGpus: 512 });
  const whole = buildTopology(h800Cluster({ numGpus: 512 }));
  const traffic = { kind: 'allToAll', groups, bytes: 1e7 } as const;
  // A receiver's 504 flows by seven relays do not divide evenly.
  near(completionSeconds(topology, traffic) / completionSeconds(whole, traffic), 8 / 7, 0.02);
  // Messages cut into seven parts do.
  for (const size of [16, 64, 512]) {
    near(fabricSlowdown(topology, { kind: 'exchange', size, stride: 1 }), 8 / 7, 1e-6);
    near(fabricSlowdown(topology, { kind: 'ring', size, stride: 1 }), 8 / 7, 1e-6);
  }
  near(fabricSlowdown(topology, { kind: 'shift', stride: 64 }), 8 / 7, 1e-6);
});

test('failed uplinks: static routing doubles one spine, adaptive spreads over those left', () => {
  const failedUplinks = [{ leaf: 0, spine: 5 }];
  const of = (routing: 'static' | 'adaptive'): number => {
    const scaleOut = { failedUplinks, routing, switchPorts: 16 } as const;
    const topology = buildTopology(h800Cluster({ numGpus: 512, scaleOut }));
    return fabricSlowdown(topology, { kind: 'shift', stride: 64 });
  };
  near(of('static'), 2, 1e-6);
  near(of('adaptive'), 8 / 7, 1e-6);
});

test('rings over RoCE: hashed paths lose, static and adaptive reach the NICs (ISCA 2025, fig. 8)', () => {
  // GB/s of an all-gather for TP 8, 4, 2 as read off the figure: a data-parallel group has 8 / TP
  // NICs of a node. Static and adaptive: 57, 103, 190; ECMP: 45, 83, 97, which is 0.79, 0.81, 0.51.
  const published = { 8: [57, 45], 4: [103, 83], 2: [190, 97] } as const;
  const losses: number[] = [];
  for (const tp of [8, 4, 2] as const) {
    const bandwidth = (routing: 'static' | 'adaptive' | 'ecmp'): number => {
      // A node to a leaf, so that every hop of a ring passes a spine.
      const scaleOut = { kind: 'fat-tree', switchPorts: 16, routing, achievableShare: 1 } as const;
      const topology = buildTopology(h800Cluster({ numGpus: 128, scaleOut }));
      const slowdown = fabricSlowdown(topology, { kind: 'ring', size: 128 / tp, stride: tp });
      return ((8 / tp) * 50) / slowdown;
    };
    near(bandwidth('static'), published[tp][0], 0.15);
    near(bandwidth('adaptive'), bandwidth('static'), 1e-6);
    losses.push(bandwidth('ecmp') / bandwidth('static'));
  }
  // The simulated loss is that of the fullest spine; the published ones average 0.70.
  for (const loss of losses) assert.ok(loss > 0.4 && loss < 0.85, `${loss}`);
});

test('the fullest link is a lower bound, and with hashed paths not far from the simulation', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 15 }), fc.constantFrom(1, 4), (nodes, flowsPerPair) => {
      const scaleOut = { kind: 'fat-tree', switchPorts: 16, routing: 'ecmp' } as const;
      const topology = buildTopology(h800Cluster({ numGpus: 128, scaleOut }));
      const traffic = shift({ numGpus: 128, stride: nodes * 8, bytes: 1e9, flowsPerPair });
      const bound = fullestLinkSeconds(topology, traffic);
      const { seconds } = simulateFlows(unfoldedFlows(topology, traffic));
      assert.ok(seconds >= bound * (1 - 1e-5) && seconds <= bound * 1.25, `${seconds} ${bound}`);
    }),
    { numRuns: 30 },
  );
});

test('dispatch: more tokens, bytes or experts and less bandwidth or SMs never take less time', () => {
  fc.assert(
    fc.property(
      fc.record({
        tokensPerRank: fc.integer({ min: 0, max: 16_384 }),
        expertsPerToken: fc.integer({ min: 1, max: 10 }),
        nodeLimit: fc.option(fc.integer({ min: 1, max: 8 })),
        imbalance: fc.double({ min: 1, max: 4, noNaN: true }),
        numSms: fc.integer({ min: 1, max: 40 }),
        size: fc.constantFrom(2, 8, 16, 32, 64, 128),
        kernel: fc.constantFrom<'normal' | 'lowLatency'>('normal', 'lowLatency'),
      }),
      ({ size, ...drawn }) => {
        const asked: ExpertExchange = { ...training, ...drawn, group: { size, stride: 1 } };
        const model = createNetworkModel(h800Cluster());
        const seconds = (changes: Partial<ExpertExchange>): number =>
          model.dispatch({ ...asked, ...changes }).seconds * (1 + 1e-12);
        const now = model.dispatch(asked).seconds;
        assert.ok(now > 0 && Number.isFinite(now));
        assert.ok(seconds({ tokensPerRank: asked.tokensPerRank + 100 }) >= now);
        assert.ok(seconds({ bytesPerToken: asked.bytesPerToken * 2 }) >= now);
        assert.ok(seconds({ expertsPerToken: asked.expertsPerToken + 1 }) >= now);
        assert.ok(seconds({ imbalance: asked.imbalance + 0.5 }) >= now);
        assert.ok(seconds({ nodeLimit: null }) >= now);
        assert.ok(seconds({ numSms: 0 }) <= now * (1 + 1e-9));
        const slower = createNetworkModel(
          h800Cluster({
            scaleOut: { nicBytesPerSecond: 25e9 },
            scaleUp: { bytesPerSecond: 100e9 },
          }),
        );
        assert.ok(slower.dispatch(asked).seconds * (1 + 1e-12) >= now);
      },
    ),
    { numRuns: 60 },
  );
});

test('dispatch: half the NVLink leaves EP64 to its NICs and doubles EP8; half the NIC doubles EP64', () => {
  const model = createNetworkModel(h800Cluster());
  const fixed = model.exchangeParts(training).fixedSeconds;
  const moving = (m: typeof model, size: number): number =>
    m.dispatch({ ...training, group: { size, stride: 1 } }).seconds - fixed;
  const halfNic = createNetworkModel(h800Cluster({ scaleOut: { nicBytesPerSecond: 25e9 } }));
  near(moving(halfNic, 64), 2 * moving(model, 64), 1e-9);
  const halfNvlink = createNetworkModel(h800Cluster({ scaleUp: { bytesPerSecond: 100e9 } }));
  near(moving(halfNvlink, 8), 2 * moving(model, 8), 1e-9);
  // 80 GB/s inside are 42 GB/s between nodes at EP64: the two are near, NVLink now the slower.
  near(moving(halfNvlink, 64), moving(model, 64), 0.3);
});

test('dispatch: without the node limit 64 ranks are crossed 5.3 times instead of 4', () => {
  const model = createNetworkModel(h800Cluster());
  const free = model.exchangeParts({ ...training, nodeLimit: null });
  const limited = model.exchangeParts(training);
  // 8 × (1 − C(224, 8) / C(256, 8)) nodes of 8 without, next to 4 with the limit.
  near(free.spread.nodes, 5.2947, 1e-4);
  near(limited.spread.nodes, 3.9831, 1e-4);
  near(free.nicSeconds / limited.nicSeconds, 5.2947 / 3.9831, 1e-4);
});

test('imbalance: the curve begins at 1, rises, and ends where every token goes to the rank', () => {
  const network = createNetworkModel(h800Cluster());
  const curve = imbalanceCurve({
    network,
    exchange: training,
    combineBytesPerToken: 14_336,
    loads: [1, 2, 4, 8, 16, 64, 256],
  });
  assert.equal(at(curve, 0).slowdown, 1);
  assert.equal(at(curve, 1).hottestRank, (2 + 3) / 4);
  for (let i = 1; i < curve.length; i++) {
    assert.ok(at(curve, i).slowdown >= at(curve, i - 1).slowdown);
    assert.notEqual(at(curve, i).dispatch.source, 'fitted');
  }
  const last = network.exchangeParts({ ...training, imbalance: 64 });
  const all = (4096 * 7392) / (20 * 5.97e9) / (1 / 64);
  near(last.smSeconds, all, 1e-9);
  assert.equal(imbalanceOfLoads({ loads: [1, 1, 5, 1], numRanks: 2 }), 1.5);
});

test('options: reducing switches halve all-reduce between nodes and spare a ring its steps', () => {
  const group = { size: 256, stride: 8 };
  const plain = createNetworkModel(h800Cluster());
  const scaleOut = { inNetworkReduce: true, inNetworkMulticast: true } as const;
  const reduced = createNetworkModel(h800Cluster({ scaleOut }));
  const big = { bytes: 1e11, group };
  near(reduced.allReduce(big).seconds, plain.allReduce(big).seconds / 2, 0.01);
  // A gather's bytes still come in over every NIC; only 255 steps become one.
  const spared = plain.allGather(big).seconds - reduced.allGather(big).seconds;
  near(spared, 254 * 3.7e-6, 1e-6);
  near(plain.reduceScatter(big).seconds - reduced.reduceScatter(big).seconds, spared, 1e-9);
  // Dispatch gains nothing: every copy still arrives over the receiver's NIC.
  assert.equal(reduced.dispatch(training).seconds, plain.dispatch(training).seconds);
});

test('options: a unified network, or a co-processor, takes no SM', () => {
  const today = createNetworkModel(h800Cluster());
  const unified = createNetworkModel(h800Cluster({ scaleOut: { unifiedScaleUpOut: true } }));
  const few = { ...training, numSms: 2 };
  assert.ok(today.exchangeParts(few).smSeconds > today.exchangeParts(training).nicSeconds);
  assert.equal(unified.exchangeParts(few).smSeconds, 0);
  assert.ok(unified.dispatch(few).seconds < today.dispatch(training).seconds);
  assert.equal(today.exchangeParts({ ...training, numSms: 0 }).smSeconds, 0);
});

test('one scale-up domain of 72: no NIC is used, inside a fabric or alone', () => {
  for (const kind of ['none', 'multi-rail-fat-tree'] as const) {
    const cluster = h800Cluster({
      numGpus: kind === 'none' ? 72 : 576,
      gpusPerNode: 4,
      scaleUp: { domainSize: 72, bytesPerSecond: 900e9 },
      scaleOut: { kind, nicsPerNode: 4 },
    });
    const model = createNetworkModel(cluster);
    const group = { size: 64, stride: 1 };
    const parts = model.exchangeParts({ ...training, group });
    assert.equal(parts.nicSeconds, 0);
    assert.equal(parts.numNodes, 1);
    near(model.allGather({ bytes: 72e9, group: { size: 72, stride: 1 } }).seconds, 71 / 720, 0.01);
  }
});

test('PCIe: a NIC’s bytes pass the GPU’s own link too', () => {
  const nvlink = { bytesPerSecond: 32e9, achievableShare: 1, domainSize: 8 };
  const exchange = { ...training, numSms: 0 };
  const parts = (kind: 'pcie' | 'nvlink') =>
    createNetworkModel(h800Cluster({ scaleUp: { ...nvlink, kind } })).exchangeParts(exchange);
  const { spread } = parts('pcie');
  near(
    parts('pcie').scaleUpSeconds / parts('nvlink').scaleUpSeconds,
    (spread.ranks + spread.nodes * (7 / 8)) / spread.ranks,
    1e-9,
  );
});

test('estimates: fitted where the tables are, extrapolated elsewhere, derived for collectives', () => {
  const model = createNetworkModel(h800Cluster());
  assert.equal(model.exchangeVersion, 'deepep-2025-02');
  assert.equal(model.dispatch(training).source, 'fitted');
  assert.equal(model.dispatch({ ...training, imbalance: 1.5 }).source, 'extrapolated');
  assert.equal(model.dispatch({ ...training, numSms: 0 }).source, 'derived');
  assert.equal(model.send({ bytes: 1, stride: 64 }).source, 'derived');
  const fast = createNetworkModel(h800Cluster({ scaleUp: { bytesPerSecond: 450e9 } }));
  assert.equal(fast.exchangeVersion, 'deepep-v2');
});

test('send: between nodes the NIC, within a single domain NVLink; a message has its latency', () => {
  const model = createNetworkModel(h800Cluster());
  near(model.send({ bytes: 46e9, stride: 128 }).seconds, 1, 1e-4);
  near(model.send({ bytes: 0, stride: 8 }).seconds, 2.8e-6, 1e-9);
  const node = createNetworkModel(h800Cluster({ numGpus: 8 }));
  near(node.send({ bytes: 160e9, stride: 1 }).seconds, 1, 1e-4);
});

test('refusals: what cannot be sent, exchanged or grouped names its value and the fix', () => {
  const model = createNetworkModel(h800Cluster({ numGpus: 64 }));
  const refused: readonly [() => unknown, string][] = [
    [() => model.send({ bytes: -1, stride: 8 }), 'network.badBytes'],
    [
      () => model.allReduce({ bytes: Number.NaN, group: { size: 8, stride: 1 } }),
      'network.badBytes',
    ],
    [() => model.allToAll({ bytes: 1, group: { size: 128, stride: 1 } }), 'network.badGroup'],
    [() => model.allGather({ bytes: 1, group: { size: 0, stride: 1 } }), 'network.badGroup'],
    [() => model.dispatch({ ...training, tokensPerRank: -5 }), 'network.badExchange'],
    [() => model.dispatch({ ...training, imbalance: 0.5 }), 'network.badExchange'],
    [() => model.dispatch({ ...training, expertsPerToken: 0 }), 'network.badExchange'],
    [() => model.dispatch({ ...training, nodeLimit: 0 }), 'network.badExchange'],
    [() => model.dispatch({ ...training, numSms: -1 }), 'network.badExchange'],
    [() => model.dispatch({ ...training, numExperts: 4 }), 'network.badExchange'],
  ];
  for (const [run, code] of refused) {
    assert.throws(run, (error) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, code);
      assert.ok((error.hint?.length ?? 0) > 10);
      assert.ok(Object.keys(error.values).length > 0);
      return true;
    });
  }
  const apart = createNetworkModel(h800Cluster({ numGpus: 64, scaleOut: { kind: 'none' } }));
  assert.throws(() => apart.dispatch(training), { code: 'network.noPath' });
  assert.throws(() => apart.send({ bytes: 1, stride: 8 }), { code: 'network.noPath' });
});
