/** Routes: whole from end to end, never over what is down, spread as routing says; latencies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { h800Cluster } from '../../../tests/support/h800Cluster.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { FabricKind } from '../../config/clusterSpec.ts';
import { clusterNames, findCluster } from '../../config/clusters/clusters.ts';
import { type LinkLayer, latencyFields, NVLINK_LATENCY, publishedLatency } from './linkLatency.ts';
import { leafOf, MAX_ROUTE_LINKS, nicOf, routeLatency, writeRoute } from './routes.ts';
import { buildTopology, type Topology } from './topology.ts';

const fabrics: readonly FabricKind[] = ['multi-plane-fat-tree', 'multi-rail-fat-tree', 'fat-tree'];

/** 64 nodes of 8 on 16-port switches: 8 nodes, or one, to a leaf. */
function smallTree(kind: FabricKind, changes: Parameters<typeof h800Cluster>[0] = {}): Topology {
  const layers = kind === 'multi-plane-fat-tree' ? 2 : 3;
  return buildTopology(
    h800Cluster({
      numGpus: 512,
      ...changes,
      scaleOut: { kind, layers, switchPorts: 16, ...changes.scaleOut },
    }),
  );
}

function route(topology: Topology, source: number, target: number, salt = 0): number[] {
  const links = new Int32Array(MAX_ROUTE_LINKS);
  const length = writeRoute(topology, { source, target }, links, salt);
  return [...links.subarray(0, length)];
}

type Block = keyof Topology['blocks'];
const order: readonly Block[] = [
  'gpuOut',
  'gpuIn',
  'nicOut',
  'nicIn',
  'leafUp',
  'leafDown',
  'podUp',
  'podDown',
];

function describe({ blocks, numLinks }: Topology, link: number): { block: Block; index: number } {
  assert.ok(link >= 0 && link < numLinks);
  const block = order.findLast((name) => blocks[name] <= link);
  assert.ok(block !== undefined);
  return { block, index: link - blocks[block] };
}

const anyPair = fc.tuple(fc.nat(511), fc.nat(511));

for (const kind of fabrics) {
  test(`${kind}: a route leaves the one rank, enters the other and turns back at one spine`, () => {
    fc.assert(
      fc.property(anyPair, fc.constantFrom('static', 'ecmp'), ([source, target], routing) => {
        const topology = smallTree(kind, { scaleOut: { routing: routing as 'ecmp' } });
        const steps = route(topology, source, target).map((link) => describe(topology, link));
        if (source === target) return assert.equal(steps.length, 0);
        const of = (block: Block): number[] =>
          steps.filter((s) => s.block === block).map((s) => s.index);
        if (Math.floor(source / 8) === Math.floor(target / 8)) {
          assert.deepEqual([of('gpuOut'), of('gpuIn')], [[source], [target]]);
          return assert.equal(steps.length, 2);
        }
        const [out, into] = [at(of('nicOut'), 0), at(of('nicIn'), 0)];
        assert.equal(into, nicOf(topology, target, 0));
        assert.equal(Math.floor(out / 8), Math.floor(source / 8), 'it leaves by its own node');
        const [up, down] = [of('leafUp'), of('leafDown')];
        assert.equal(up.length, down.length);
        if (leafOf(topology, out) === leafOf(topology, into)) return assert.equal(up.length, 0);
        const spines = topology.spinesPerLeaf;
        assert.equal(Math.floor(at(up, 0) / spines), leafOf(topology, out));
        assert.equal(Math.floor(at(down, 0) / spines), leafOf(topology, into));
        assert.equal(at(up, 0) % spines, at(down, 0) % spines, 'one spine, or its like');
        const perPod = spines * topology.coresPerSpine;
        const cores = [...of('podUp'), ...of('podDown')].map((index) => index % perPod);
        assert.ok(cores.length === 0 || cores[0] === cores[1], 'one core');
      }),
    );
  });
}

test('multi-plane: what goes to another plane crosses NVLink first and the fabric in one plane', () => {
  const topology = smallTree('multi-plane-fat-tree');
  const steps = route(topology, 0, 77 * 1).map((link) => describe(topology, link));
  assert.deepEqual(
    steps.map(({ block }) => block),
    ['gpuOut', 'gpuIn', 'nicOut', 'leafUp', 'leafDown', 'nicIn'],
  );
  // Rank 77 is GPU 5 of node 9: NIC 5 of node 0 to NIC 5 of node 9.
  assert.deepEqual([steps[2]?.index, steps[5]?.index], [5, 77]);
});

test('static routing: any shift of all ranks uses no uplink twice', () => {
  for (const kind of fabrics) {
    const topology = smallTree(kind);
    for (const stride of [8, 64, 128, 200]) {
      const uses = new Map<number, number>();
      for (let r = 0; r < 512; r++) {
        for (const link of route(topology, r, (r + stride) % 512)) {
          if (!describe(topology, link).block.startsWith('leaf')) continue;
          uses.set(link, (uses.get(link) ?? 0) + 1);
        }
      }
      assert.ok(Math.max(0, ...uses.values()) <= 1, `${kind}, shift by ${stride}`);
    }
  }
});

test('hashed routing: parts of one message take several spines, the same each time', () => {
  const topology = smallTree('fat-tree', { scaleOut: { routing: 'ecmp' } });
  const ways = Array.from({ length: 16 }, (_, salt) => route(topology, 0, 100, salt).join());
  assert.ok(new Set(ways).size > 4);
  assert.equal(route(topology, 0, 100, 3).join(), ways[3]);
});

test('failures: no route passes a plane or an uplink that is down', () => {
  fc.assert(
    fc.property(anyPair, fc.nat(7), fc.nat(7), ([source, target], plane, spine) => {
      const topology = smallTree('multi-plane-fat-tree', {
        scaleOut: { failedPlanes: [plane], failedUplinks: [{ leaf: 3, spine }] },
      });
      for (const link of route(topology, source, target)) {
        const { block, index } = describe(topology, link);
        if (block.startsWith('nic')) assert.notEqual(index % 8, plane);
        if (block.startsWith('leaf')) assert.notEqual(index, 3 * 8 + spine);
      }
    }),
  );
});

function refusal(run: () => unknown): MoebiusError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof MoebiusError, String(error));
    return error;
  }
  return assert.fail('nothing was refused');
}

test('no path: the error names both ranks and what to change', () => {
  const lonely = buildTopology(h800Cluster({ scaleOut: { kind: 'none' } }));
  const first = refusal(() => route(lonely, 3, 12));
  assert.equal(first.code, 'network.noPath');
  assert.match(first.message, /rank 3 to rank 12/);
  assert.match(first.hint ?? '', /Give scaleOut a fabric/);
  assert.equal(route(lonely, 3, 4).length, 2);

  const dead = smallTree('multi-plane-fat-tree', {
    scaleOut: { failedPlanes: [0, 1, 2, 3, 4, 5, 6, 7] },
  });
  assert.match(refusal(() => route(dead, 0, 8)).hint ?? '', /Take a plane out/);

  // Without links between a node's GPUs, planes never meet.
  const apart = smallTree('multi-plane-fat-tree', { scaleUp: { domainSize: 1 } });
  assert.match(refusal(() => route(apart, 0, 9)).hint ?? '', /multi-rail-fat-tree/);
  assert.ok(route(apart, 0, 8).length > 0);

  const cut = Array.from({ length: 8 }, (_, spine) => ({ leaf: 0, spine }));
  const severed = smallTree('fat-tree', { scaleOut: { failedUplinks: cut } });
  assert.match(refusal(() => route(severed, 1, 100)).message, /rank 1 to rank 100/);
});

test('a cluster that cannot be built: the value and the fix', () => {
  const build = (changes: Parameters<typeof h800Cluster>[0]) => () =>
    buildTopology(h800Cluster(changes));
  const tooLarge = refusal(build({ numGpus: 32_768 }));
  assert.equal(tooLarge.code, 'network.tooLarge');
  assert.match(tooLarge.hint ?? '', /layers to 3/);
  for (const changes of [
    { numGpus: 12 },
    { scaleOut: { nicBytesPerSecond: -1 } },
    { scaleOut: { oversubscription: 0 } },
    { scaleUp: { achievableShare: Number.NaN } },
    { scaleOut: { failedPlanes: [8] } },
    { scaleOut: { failedUplinks: [{ leaf: 0, spine: 99 }] } },
  ]) {
    const error = refusal(build(changes));
    assert.equal(error.code, 'network.badCluster');
    assert.match(error.hint ?? '', /Set|Make|Name/);
  }
});

test('room of fabrics: eight planes of 64-port switches hold 16,384 GPUs (ISCA 2025, table 3)', () => {
  assert.equal(buildTopology(h800Cluster({ numGpus: 16_384 })).leavesPerPlane, 64);
  assert.throws(() => buildTopology(h800Cluster({ numGpus: 16_392 })), {
    code: 'network.tooLarge',
  });
});

test('every cluster by name: ranks reach one another', () => {
  for (const name of clusterNames) {
    const topology = buildTopology(findCluster(name));
    assert.ok(route(topology, 0, topology.numGpus - 1).length > 0, name);
  }
});

test('latencies: 64 bytes as published (ISCA 2025, table 5)', () => {
  for (const layer of ['roce', 'infiniband'] satisfies LinkLayer[]) {
    const topology = buildTopology(h800Cluster({ scaleOut: latencyFields(layer) }));
    // 32 nodes to a leaf: node 1 is under the same, node 40 is not.
    const same = routeLatency(topology, { source: 0, target: 8 });
    const cross = routeLatency(topology, { source: 0, target: 320 });
    assert.ok(Math.abs(same - publishedLatency[layer].sameLeaf) < 1e-12);
    assert.ok(Math.abs(cross - publishedLatency[layer].crossLeaf) < 1e-12);
    const inNode = routeLatency(topology, { source: 0, target: 1 });
    assert.ok(Math.abs(inNode - NVLINK_LATENCY) < 1e-12);
  }
});
