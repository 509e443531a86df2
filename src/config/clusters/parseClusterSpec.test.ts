/** Cluster files and what-ifs: conversions, and every refusal with its fix. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { findCluster } from './clusters.ts';
import { parseClusterSpec, serializeClusterSpec } from './parseClusterSpec.ts';
import { applyWhatIf } from './whatIf.ts';

const read = (yaml: string): ClusterSpec => parseClusterSpec(parseYaml(yaml), 'mine.yaml');

function refusal(make: () => unknown): MoebiusError {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof MoebiusError, String(error));
    assert.ok((error.hint ?? '').length > 0, error.message);
    return error;
  }
  return assert.fail('it was accepted');
}

const refusedFile = (yaml: string): MoebiusError => refusal(() => read(yaml));

test('a file: what it sets is converted, what it leaves out is the parent’s', () => {
  const cluster = read(`
    extends: h800x2048
    name: mine
    numGpus: 1024
    gpu: { memoryBytes: 96 GB, peakFlops: { fp8: '1,979 TFLOPS' } }
    scaleUp: { bytesPerSecond: 900 GB/s both ways, achievableShare: 80 % }
    scaleOut: { nicBytesPerSecond: 800 Gb/s }
    host: { bytesPerSecond: 64 GB/s one way }
    price: { dollarsPerGpuHour: $16/h per node, wattsPerGpu: 10.2 kW per node }
  `);
  assert.equal(cluster.name, 'mine');
  assert.equal(cluster.numGpus, 1024);
  assert.equal(cluster.scaleUp.bytesPerSecond, 450e9);
  assert.equal(cluster.scaleUp.achievableShare, 0.8);
  assert.equal(cluster.scaleOut.nicBytesPerSecond, 100e9);
  assert.equal(cluster.host.bytesPerSecond, 64e9);
  assert.equal(cluster.price.dollarsPerGpuHour, 2);
  assert.equal(cluster.price.wattsPerGpu, 1275);
  assert.equal(cluster.gpu.memoryBytes, 96e9);
  assert.equal(cluster.gpu.peakFlops.bf16, findCluster('h800').gpu.peakFlops.bf16);
  assert.equal(cluster.sources['scaleUp.bytesPerSecond']?.note, 'mine.yaml: 900 GB/s both ways');
});

test('a file: per node, per GPU and per NIC are brought to what the value counts for', () => {
  const nic = (text: string): number =>
    read(`
      extends: h100x64
      scaleOut: { nicsPerNode: 4, nicBytesPerSecond: ${text} }
    `).scaleOut.nicBytesPerSecond;
  assert.equal(nic('400 Gb/s'), 50e9);
  assert.equal(nic('1600 Gb/s per node'), 50e9);
  assert.equal(nic('200 Gb/s per GPU'), 50e9);
  assert.equal(nic('100 GB/s both ways'), 50e9);
  const up = read('{ extends: h100x64, scaleUp: { bytesPerSecond: 3.6 TB/s one way per node } }');
  assert.equal(up.scaleUp.bytesPerSecond, 450e9);
});

test('a file: a larger fat tree than the parent’s gets the layer that it needs', () => {
  assert.equal(read('{ extends: h100x1024, numGpus: 4096 }').scaleOut.layers, 3);
  const error = refusedFile('{ extends: h100x1024, numGpus: 4096, scaleOut: { layers: 2 } }');
  assert.match(error.message, /4096 NICs do not fit .* holds 2048/);
  assert.match(error.hint ?? '', /layers to 3/);
});

test('a file: a bare number where a unit belongs is refused with how to write it', () => {
  const error = refusedFile('{ extends: h800x2048, gpu: { memoryBytesPerSecond: 3350000000000 } }');
  assert.equal(error.code, 'quantity.noUnit');
  assert.match(error.message, /gpu\.memoryBytesPerSecond is 3350000000000, without a unit/);
  assert.match(error.hint ?? '', /GB\/s/);
  const latency = refusedFile('{ extends: h800x2048, scaleUp: { latencySeconds: 3 } }');
  assert.match(latency.hint ?? '', /2\.8 us/);
});

test('a file: a link must say one way or both ways, and memory must not', () => {
  const error = refusedFile('{ extends: h800x2048, scaleUp: { bytesPerSecond: 400 GB/s } }');
  assert.match(error.message, /must say whether it is meant one way or both ways/);
  assert.match(error.hint ?? '', /400 GB\/s both ways/);
  const memory = 'extends: h800x2048\ngpu: { memoryBytesPerSecond: 3 TB/s one way }';
  assert.match(refusedFile(memory).message, /has no direction/);
  const both = 'extends: h800x2048\nscaleUp: { bytesPerSecond: 4 GB/s one way both ways }';
  assert.match(refusedFile(both).message, /one way or both/);
  const per = 'extends: h800x2048\ngpu: { memoryBytes: 640 GB per node }';
  assert.match(refusedFile(per).message, /counts for one GPU/);
});

test('a file: an unknown key is refused with the nearest, wherever it belongs', () => {
  const hint = (yaml: string): string | undefined => refusedFile(yaml).hint;
  assert.equal(hint('{ extends: h800, numGpu: 8 }'), 'Did you mean numGpus?');
  assert.equal(
    hint('{ extends: h800, gpu: { memoryByte: 80 GB } }'),
    'Did you mean gpu.memoryBytes?',
  );
  assert.equal(hint('{ extends: h800, memoryBytes: 80 GB }'), 'Did you mean gpu.memoryBytes?');
  assert.equal(refusedFile('{ extends: h800, gpu: 3 }').code, 'config.type');
  assert.equal(refusedFile('{ extends: h8oo }').code, 'cluster.unknown');
  assert.equal(refusedFile('[]').code, 'config.type');
  const missing = refusedFile('{ name: x, numGpus: 8 }');
  assert.equal(missing.code, 'config.missingKey');
  assert.match(missing.message, /gpusPerNode, gpu\.name/);
});

test('a file: zero, negative and impossible values are refused by name', () => {
  const message = (rest: string): string => refusedFile(`extends: h800x2048\n${rest}`).message;
  assert.match(
    message('gpu: { memoryBytes: -80 GB }'),
    /gpu\.memoryBytes is "-80 GB"; it is above/,
  );
  assert.match(message('gpu: { memoryBytes: 0 GB }'), /above zero/);
  assert.match(message('gpu: { numSms: 0 }'), /at least 1/);
  assert.match(message('numGpus: 2048.5'), /whole number/);
  assert.match(message('scaleUp: { achievableShare: 1.2 }'), /above 0 and at most 1/);
  assert.match(message('scaleUp: { achievableShare: 0 }'), /above 0 and at most 1/);
  assert.match(message('scaleOut: { oversubscription: 0.5 }'), /from 1 to/);
  assert.match(message('scaleOut: { kind: torus }'), /is one of multi-plane-fat-tree/);
  assert.match(message('scaleOut: { layers: 4 }'), /is one of 2, 3/);
  assert.match(message('scaleOut: { failedPlanes: 1 }'), /is a list/);
  assert.match(message('scaleOut: { failedPlanes: [-1] }'), /failedPlanes\.0/);
  assert.match(message('scaleOut: { failedUplinks: [{ leaf: 0 }] }'), /failedUplinks\.0\.spine/);
  assert.match(message('sources: { gpu: { kind: rumour, note: x } }'), /sources\.gpu\.kind/);
});

test('a file: contradictions are refused with the fix', () => {
  const error = (rest: string): MoebiusError => refusedFile(`extends: h800x2048\n${rest}`);
  const nodes = error('numGpus: 2050');
  assert.match(nodes.message, /2050 is no whole number of nodes of 8/);
  assert.match(nodes.hint ?? '', /2048 or 2056/);
  const none = error('scaleOut: { kind: none }');
  assert.match(none.message, /no path between ranks: 2048 GPUs, domains of 8, and no network/);
  assert.match(none.hint ?? '', /nicsPerNode/);
  assert.match(error('scaleOut: { nicsPerNode: 0 }').message, /no path .* no NIC/);
  assert.match(error('scaleOut: { nicBytesPerSecond: 0 Gb/s }').message, /is 0/);
  assert.match(error('scaleUp: { domainSize: 3 }').message, /cuts nodes of 8 apart/);
  assert.match(error('communicationSms: 132').message, /leaves none of 132/);
  assert.match(error('gpu: { peakFlops: { fp8: none } }').message, /disagree on whether/);
  assert.match(error('scaleOut: { failedPlanes: [8] }').message, /plane 8, but there are 8/);
  assert.match(
    error('scaleOut: { failedPlanes: [0, 1, 2, 3, 4, 5, 6, 7] }').message,
    /every plane has failed/,
  );
  assert.match(error('scaleOut: { failedUplinks: [{ leaf: 8, spine: 0 }] }').message, /leaf 8/);
});

test('a domain smaller than a node is accepted where NICs join the rest, and only there', () => {
  const small = 'extends: h100x8\nscaleUp: { domainSize: 4 }';
  assert.equal(read(small).scaleUp.domainSize, 4);
  const error = refusedFile(`${small}\nscaleOut: { kind: none }`);
  assert.match(error.message, /no path between ranks: 8 GPUs, domains of 4/);
});

test('any bandwidth: written with its unit and read back it is the same', () => {
  const bandwidth = fc.double({ min: 1e6, max: 1e14, noNaN: true });
  const seconds = fc.double({ min: 1e-9, max: 1e-3, noNaN: true });
  fc.assert(
    fc.property(bandwidth, seconds, (bytesPerSecond, latencySeconds) => {
      const base = findCluster('h100x64');
      const cluster = { ...base, scaleUp: { ...base.scaleUp, bytesPerSecond, latencySeconds } };
      assert.deepEqual(parseClusterSpec(serializeClusterSpec(cluster), 'x'), cluster);
    }),
    { numRuns: 300 },
  );
});

test('a what-if: sets with a unit, multiplies and divides without; later ones win', () => {
  const h800 = findCluster('h800x2048');
  const up = (...settings: string[]): number => applyWhatIf(h800, settings).scaleUp.bytesPerSecond;
  assert.equal(up('scaleUp.bytesPerSecond=900 GB/s both ways'), 450e9);
  assert.equal(up('scaleUp.bytesPerSecond*=2'), 400e9);
  assert.equal(up('scaleUp.bytesPerSecond/=2'), 100e9);
  assert.equal(up('scaleUp.bytesPerSecond=1 TB/s one way', 'scaleUp.bytesPerSecond*=2'), 2e12);
  assert.equal(up('gpu.nvlinkBytesPerSecond*=3'), 600e9);
  assert.equal(applyWhatIf(h800, ['communicationSms=0']).communicationSms, 0);
  const accumulating = applyWhatIf(h800, ['gpu.fp8Accumulation=fp32']);
  assert.equal(accumulating.gpu.fp8Accumulation, 'fp32');
  assert.deepEqual(applyWhatIf(h800, ['scaleOut.failedPlanes=[0]']).scaleOut.failedPlanes, [0]);
  assert.match(applyWhatIf(h800, ['numGpus/=2']).name, /h800x2048 \+ numGpus\/=2/);
  assert.deepEqual(applyWhatIf(h800, []), h800);
});

test('a what-if: what a file may not say, it may not either', () => {
  const refused = (setting: string): MoebiusError =>
    refusal(() => applyWhatIf(findCluster('h800x2048'), [setting]));
  assert.equal(refused('scaleUp.bytesPerSecond').code, 'cluster.whatIf');
  assert.equal(refused('scaleUp.bytesPerSecond=').code, 'cluster.whatIf');
  assert.equal(refused('scaleUp.bytesPerSecond=900').code, 'quantity.noUnit');
  assert.equal(refused('scaleUp.bytesPerSeconds*=2').hint, 'Did you mean scaleUp.bytesPerSecond?');
  assert.equal(refused('memoryBytes*=2').hint, 'Did you mean gpu.memoryBytes?');
  assert.equal(refused('gpu.memoryBytes*=0').code, 'cluster.whatIf');
  assert.equal(refused('gpu.memoryBytes*=lots').code, 'cluster.whatIf');
  assert.equal(refused('gpu.name*=2').code, 'cluster.whatIf');
  assert.match(refused('scaleOut.nicsPerNode/=16').message, /whole number/);
  assert.match(refused('scaleUp.achievableShare*=2').message, /at most 1/);
  assert.match(refused('numGpus=2050').message, /no whole number of nodes/);
  assert.match(refused('scaleOut.kind=none').message, /no path between ranks/);
});
