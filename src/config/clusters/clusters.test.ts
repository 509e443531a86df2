/** Clusters by name, of any size, and the published numbers that they must show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../../base/errors.ts';
import { clusterNames, findCluster, withNumGpus } from './clusters.ts';
import { describeCluster } from './describeCluster.ts';
import { parseClusterSpec, serializeClusterSpec } from './parseClusterSpec.ts';
import { thisMachine } from './thisMachine.ts';
import { validateCluster } from './validateCluster.ts';

const machine = thisMachine({
  name: 'a laptop',
  cores: 8,
  fmaPeak: 5e11,
  readBandwidth: 4e10,
  memoryBytes: 16e9,
});

test('every preset: written with units and read back it is the same, and no rule is broken', () => {
  for (const cluster of [...clusterNames.map(findCluster), machine]) {
    validateCluster(cluster, cluster.name);
    const file = JSON.parse(JSON.stringify(serializeClusterSpec(cluster)));
    assert.deepEqual(parseClusterSpec(file, cluster.name), cluster);
  }
});

test('every preset: each origin names a value that the cluster has', () => {
  for (const cluster of clusterNames.map(findCluster)) {
    for (const path of Object.keys(cluster.sources)) {
      let node: unknown = cluster;
      for (const step of path.split('.')) node = (node as Record<string, unknown>)[step];
      assert.notEqual(node, undefined, `${cluster.name}: ${path}`);
    }
  }
});

test('h800x2048: the ratios that DeepSeek-V3 was designed around', () => {
  const { scaleUp, scaleOut, gpu, numGpus } = findCluster('h800x2048');
  assert.equal(numGpus, 2048);
  // Report 3.2.2: NVLink's 160 GB/s are 3.2 × InfiniBand's 50.
  assert.equal(scaleUp.bytesPerSecond * scaleUp.achievableShare, 160e9);
  assert.equal(
    (scaleUp.bytesPerSecond * scaleUp.achievableShare) / scaleOut.nicBytesPerSecond,
    3.2,
  );
  assert.equal(gpu.numSms, 132);
  assert.equal(scaleOut.kind, 'multi-plane-fat-tree');
  assert.equal(findCluster('h800x2048-mrft').scaleOut.kind, 'multi-rail-fat-tree');
});

test('ISCA 2025, 5.1: two layers of 64-port switches hold 2,048 NICs, and eight planes 16,384', () => {
  const layers = (name: string): number => findCluster(name).scaleOut.layers;
  assert.equal(layers('h800x16384'), 2);
  assert.equal(layers('h800x16392'), 3);
  assert.equal(layers('h800x2048-mrft'), 2);
  assert.equal(layers('h800x2056-mrft'), 3);
});

test('a size behind an x: any kind, with a suffix or without; a part of a node too', () => {
  assert.equal(findCluster('h100x512').numGpus, 512);
  assert.equal(findCluster('H800x1024-mrft').name, 'h800x1024-mrft');
  assert.equal(findCluster('mi300x512').numGpus, 512);
  assert.equal(findCluster('mi300x').numGpus, 1024);
  assert.equal(findCluster('gb200-nvl72x144').scaleUp.domainSize, 72);
  assert.equal(findCluster('rtx4090').numGpus, 8);
  assert.equal(findCluster('h100x4').gpusPerNode, 4);
  assert.equal(findCluster('h100x16384').scaleOut.kind, 'fat-tree');
});

test('findCluster: an unknown name and a broken node are refused with the nearest that would do', () => {
  const refusal = (name: string): MoebiusError => {
    try {
      findCluster(name);
    } catch (error) {
      assert.ok(error instanceof MoebiusError);
      return error;
    }
    return assert.fail(`${name} was found`);
  };
  assert.equal(refusal('h80x2048').hint, 'Did you mean "h800x2048"?');
  assert.equal(refusal('tpu-v5p').code, 'cluster.unknown');
  assert.match(refusal('tpu-v5p').hint ?? '', /gb200-nvl72/);
  assert.equal(refusal('h100x100').hint, 'Take 96 or 104.');
  assert.equal(refusal('h100x0').code, 'cluster.size');
  assert.throws(() => withNumGpus(findCluster('h100'), 2.5), { code: 'cluster.size' });
});

test('describeCluster: per GPU and one way, whatever the sheet said', () => {
  const shown = Object.fromEntries(
    describeCluster(findCluster('h800x2048')).map(({ what, text }) => [what, text]),
  );
  assert.equal(shown['nvlink, per GPU, one way'], '200 GB/s');
  assert.equal(shown['nvlink, per GPU, one way, reached'], '160 GB/s');
  assert.equal(shown['network, per GPU, one way'], '50 GB/s');
  assert.equal(shown.nodes, '256');
  assert.equal(shown['NICs on one fabric'], '256');
  const pcie = describeCluster(findCluster('a100-pcie'));
  // Fire-Flyer 2: one 200G NIC for eight GPUs.
  assert.equal(pcie.find(({ what }) => what === 'network, per GPU, one way')?.value, 3.125e9);
  assert.equal(
    describeCluster(machine).some(({ what }) => what.includes('network')),
    false,
  );
});
