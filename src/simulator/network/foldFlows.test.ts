/** Folded simulations against unfolded ones, flow by flow, on random clusters and traffic. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { h800Cluster } from '../../../tests/support/h800Cluster.ts';
import { MoebiusError } from '../../base/errors.ts';
import { foldFlows, unfoldedFlows } from './foldFlows.ts';
import { maxMinRates, simulateFlows } from './maxMin.ts';
import { buildTopology, type Topology } from './topology.ts';
import { groupsOf, pairTraffic, ringStep, shift, type Traffic } from './traffic.ts';

const anyCluster = fc
  .record({
    numNodes: fc.integer({ min: 1, max: 6 }),
    gpusPerNode: fc.constantFrom(1, 2, 4),
    kind: fc.constantFrom('multi-plane-fat-tree', 'multi-rail-fat-tree', 'fat-tree'),
    pcie: fc.boolean(),
    layers: fc.constantFrom<2 | 3>(2, 3),
    oversubscription: fc.constantFrom(1, 3),
    routing: fc.constantFrom('static', 'ecmp', 'adaptive'),
    failsPlane: fc.boolean(),
    failedUplink: fc.option(fc.record({ leaf: fc.nat(2), spine: fc.nat(1) })),
  })
  .map((drawn) =>
    h800Cluster({
      numGpus: drawn.numNodes * drawn.gpusPerNode,
      gpusPerNode: drawn.gpusPerNode,
      scaleUp: { domainSize: drawn.gpusPerNode, kind: drawn.pcie ? 'pcie' : 'nvlink' },
      scaleOut: {
        kind: drawn.kind as 'fat-tree',
        layers: drawn.layers,
        switchPorts: 8,
        nicsPerNode: drawn.gpusPerNode,
        oversubscription: drawn.oversubscription,
        routing: drawn.routing as 'ecmp',
        failedPlanes: drawn.failsPlane && drawn.gpusPerNode > 1 ? [1] : [],
        failedUplinks: drawn.failedUplink === null ? [] : [drawn.failedUplink],
      },
    }),
  );

/** Some draws name uplinks or trees that are not there, or cut a leaf off; those are refused. */
function trafficOn(make: (topology: Topology) => Traffic, cluster: ReturnType<typeof h800Cluster>) {
  try {
    const topology = buildTopology(cluster);
    const traffic = make(topology);
    return { topology, traffic, unfolded: unfoldedFlows(topology, traffic) };
  } catch (error) {
    assert.ok(error instanceof MoebiusError && error.hint !== undefined);
    return null;
  }
}

const anyTraffic = fc.oneof(
  fc.constant((topology: Topology): Traffic => {
    const { numGpus } = topology;
    return {
      kind: 'allToAll',
      groups: groupsOf({ size: numGpus, stride: 1, numGpus }),
      bytes: 1e6,
    };
  }),
  fc.nat(4).map((by) => (topology: Topology): Traffic => {
    const stride = Math.min(by + 1, topology.numGpus);
    return shift({ numGpus: topology.numGpus, stride, bytes: 3e6, flowsPerPair: 2 });
  }),
  fc.constant((topology: Topology): Traffic => {
    const { numGpus } = topology;
    return ringStep({ groups: groupsOf({ size: numGpus, stride: 1, numGpus }), bytes: 1e6 });
  }),
  fc
    .array(fc.tuple(fc.nat(23), fc.nat(23)), { minLength: 1, maxLength: 30 })
    .map((pairs) => (topology: Topology): Traffic => {
      const within = pairs.map(([a, b]) => [a % topology.numGpus, b % topology.numGpus] as const);
      return pairTraffic({ pairs: within, bytes: 2e6 });
    }),
);

test('folding: the same moment of every flow and the same rates as flow by flow', () => {
  let compared = 0;
  fc.assert(
    fc.property(anyCluster, anyTraffic, (cluster, make) => {
      const drawn = trafficOn(make, cluster);
      if (drawn === null) return;
      compared++;
      const { topology, traffic, unfolded } = drawn;
      const folded = foldFlows({ topology, traffic });
      assert.ok(folded !== null);
      const flowByFlow = simulateFlows(unfolded);
      const byClass = simulateFlows(folded.problem);
      assert.equal(
        folded.problem.count.reduce((a, b) => a + b, 0),
        unfolded.count.length,
      );
      const expected = sorted(flowByFlow.finish, unfolded.count);
      const found = sorted(byClass.finish, folded.problem.count);
      assert.equal(found.length, expected.length);
      // Sums run in another order, so the last bits may differ.
      for (const [i, value] of expected.entries()) near(found[i], value);
      const rates = sorted(maxMinRates(unfolded), unfolded.count);
      const foldedRates = sorted(maxMinRates(folded.problem), folded.problem.count);
      for (const [i, value] of rates.entries()) near(foldedRates[i], value);
    }),
    { numRuns: 300 },
  );
  assert.ok(compared > 150, `only ${compared} of 300 draws could be compared`);
});

function near(found: number | undefined, expected: number): void {
  assert.ok(found !== undefined && Math.abs(found - expected) <= 1e-9 * Math.abs(expected));
}

function sorted(values: Float64Array, counts: Float64Array): number[] {
  return [...values].flatMap((v, i) => new Array<number>(counts[i] ?? 0).fill(v)).sort(byValue);
}
const byValue = (a: number, b: number): number => a - b;

test('folding: 4,192,256 flows of 2,048 ranks are a handful of classes, and the NIC bounds', () => {
  const topology = buildTopology(h800Cluster());
  const groups = groupsOf({ size: 2048, stride: 1, numGpus: 2048 });
  const folded = foldFlows({ topology, traffic: { kind: 'allToAll', groups, bytes: 1e6 } });
  assert.ok(folded !== null);
  assert.equal(folded.numFlows, 2048 * 2047);
  assert.ok(folded.problem.count.length < 10);
  const { seconds } = simulateFlows(folded.problem);
  // 2,040 ranks lie in other nodes; NVLink first, then across leaves: 3.33 + 3.7 µs.
  near(seconds, (2040 * 1e6) / 46e9 + 7.03e-6);
});

test('folding: gives up where nothing is alike', () => {
  const topology = buildTopology(h800Cluster({ scaleOut: { routing: 'ecmp', switchPorts: 64 } }));
  const traffic = shift({ numGpus: 2048, stride: 512, bytes: 1e6 });
  assert.equal(foldFlows({ topology, traffic, maxClasses: 2 }), null);
});
