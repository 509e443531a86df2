/**
 * What a description comes to for one GPU, one way: printed beside every plan, so that a number
 * that was meant per node, both ways or in bits is seen at once.
 */
import { formatQuantity } from '../../base/quantity.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { fabricCapacity, fabricEndpoints } from './fabricSize.ts';

export interface DerivedValue {
  readonly what: string;
  readonly text: string;
  /** In bytes per second, or a count. */
  readonly value: number;
}

export function describeCluster(cluster: ClusterSpec): readonly DerivedValue[] {
  const { numGpus, gpusPerNode, scaleUp, scaleOut, gpu, price } = cluster;
  const rate = (what: string, value: number): DerivedValue => ({
    what,
    value,
    text: formatQuantity(Number(value.toPrecision(6)), 'bytesPerSecond'),
  });
  const count = (what: string, value: number): DerivedValue => ({
    what,
    value,
    text: String(Number(value.toPrecision(4))),
  });
  const up = scaleUp.bytesPerSecond;
  const values = [
    count('nodes', numGpus / gpusPerNode),
    rate(`${scaleUp.kind}, per GPU, one way`, up),
    rate(`${scaleUp.kind}, per GPU, one way, reached`, up * scaleUp.achievableShare),
  ];
  if (scaleOut.kind !== 'none' && scaleOut.nicsPerNode > 0) {
    const out = (scaleOut.nicBytesPerSecond * scaleOut.nicsPerNode) / gpusPerNode;
    values.push(
      rate('one NIC, one way', scaleOut.nicBytesPerSecond),
      rate('network, per GPU, one way', out),
      rate('network, per GPU, one way, reached', out * scaleOut.achievableShare),
      count(`${scaleUp.kind} over network`, up / out),
      count('NICs on one fabric', fabricEndpoints(cluster)),
      count('NICs that the fabric can hold', fabricCapacity(scaleOut)),
    );
  }
  values.push(
    rate('memory, per GPU', gpu.memoryBytesPerSecond),
    rate('host, per GPU, one way', cluster.host.bytesPerSecond),
    {
      what: 'rent, per GPU',
      value: price.dollarsPerGpuHour,
      text: formatQuantity(price.dollarsPerGpuHour, 'dollarsPerHour'),
    },
  );
  return values;
}
