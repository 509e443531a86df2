/**
 * Clusters by name. A name is a kind of node, with the number of GPUs behind an x:
 * `h800x2048`, `h100x512`, `gb200-nvl72x576`; without a number it is the kind's usual size.
 */
import { assert } from '../../base/assert.ts';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { fabricCapacity, fabricEndpoints } from './fabricSize.ts';
import {
  type Fabric,
  fireFlyer,
  hccs,
  infinityFabric,
  type Links,
  nvlink400,
  nvlink600,
  nvlink900,
  nvlink1800,
  nvlinkRack,
  oneNic200,
  pcie4,
  planeInfiniband400,
  podRoce400,
  railInfiniband200,
  railInfiniband400,
  railRoce200,
  railRoce400,
  trayInfiniband400,
} from './fabrics.ts';
import {
  a100,
  a100Pcie,
  ascend910b,
  b200,
  type Chip,
  gb200,
  h20,
  h100,
  h200,
  h800,
  mi300x,
  rtx4090,
} from './gpus.ts';

type Sources = ClusterSpec['sources'];

interface Parts {
  readonly chip: Chip;
  readonly links: Links;
  readonly fabric: Fabric;
  readonly numGpus: number;
  readonly gpusPerNode?: number;
  /** Kilowatts that the sheet of a whole node gives, and for how many GPUs. */
  readonly node: { readonly watts: number; readonly note: string };
  readonly hostBytes: number;
  readonly hostBytesPerSecond: number;
  readonly dollarsPerGpuHour: number;
  readonly communicationSms: number;
  readonly sources?: Sources;
}

/** DeepSeek-V3 gives 20 of Hopper's 132 SMs to communication (report, 3.2.2). */
const V3_COMMUNICATION_SMS = 20;

/** PCIe × 16, one way, after packet headers: fourth and fifth generation. */
const PCIE4 = 27e9;
const PCIE5 = 55e9;

function assemble(name: string, parts: Parts): ClusterSpec {
  const { chip, links, fabric, node, gpusPerNode = 8 } = parts;
  return {
    name,
    gpu: chip.gpu,
    numGpus: parts.numGpus,
    gpusPerNode,
    scaleUp: links.scaleUp,
    scaleOut: fabric.scaleOut,
    host: { memoryBytes: parts.hostBytes, bytesPerSecond: parts.hostBytesPerSecond },
    price: {
      dollarsPerGpuHour: parts.dollarsPerGpuHour,
      wattsPerGpu: Math.round(node.watts / gpusPerNode),
      pue: 1.2,
    },
    communicationSms: parts.communicationSms,
    sources: {
      ...chip.sources,
      ...links.sources,
      ...fabric.sources,
      'host.bytesPerSecond': { kind: 'assumed', note: 'PCIe × 16 after packet headers' },
      'price.dollarsPerGpuHour': { kind: 'assumed', note: 'an order of rent, not a quote' },
      'price.wattsPerGpu': { kind: 'datasheet', note: node.note },
      'price.pue': { kind: 'assumed', note: 'a modern hall' },
      communicationSms: { kind: 'assumed', note: 'as DeepSeek-V3 on Hopper: 20 (report, 3.2.2)' },
      ...parts.sources,
    },
  };
}

const dgxHopper = {
  node: { watts: 10_200, note: 'DGX H100 data sheet: 10.2 kW at most for eight' },
  hostBytes: 2e12,
  hostBytesPerSecond: PCIE5,
  communicationSms: V3_COMMUNICATION_SMS,
};

const h800Parts: Parts = {
  ...dgxHopper,
  chip: h800,
  links: nvlink400,
  fabric: planeInfiniband400,
  numGpus: 2048,
  dollarsPerGpuHour: 2,
  sources: {
    'price.dollarsPerGpuHour': { kind: 'measured', note: 'DeepSeek-V3 report, table 1: $2' },
    'price.wattsPerGpu': { kind: 'assumed', note: 'as DGX H100: 10.2 kW for eight' },
    'host.memoryBytes': { kind: 'assumed', note: 'as DGX H100' },
    communicationSms: { kind: 'measured', note: 'DeepSeek-V3 report, 3.2.2: 20 SMs' },
  },
};

const h100Parts: Parts = {
  ...dgxHopper,
  chip: h100,
  links: nvlink900,
  fabric: railInfiniband400,
  numGpus: 1024,
  dollarsPerGpuHour: 2.5,
};

const gb200Parts: Parts = {
  chip: gb200,
  links: nvlinkRack(72),
  fabric: trayInfiniband400,
  numGpus: 576,
  gpusPerNode: 4,
  node: { watts: 120_000 / 18, note: 'GB200 NVL72: about 120 kW for 72' },
  hostBytes: 960e9,
  // NVLink-C2C, 900 GB/s both ways for two GPUs.
  hostBytesPerSecond: 225e9,
  dollarsPerGpuHour: 6,
  communicationSms: V3_COMMUNICATION_SMS,
  sources: {
    'host.bytesPerSecond': { kind: 'datasheet', note: 'NVLink-C2C: 900 GB/s both ways, two GPUs' },
  },
};

const assembled: readonly ClusterSpec[] = [
  assemble('h800', h800Parts),
  assemble('h800-mrft', { ...h800Parts, fabric: railInfiniband400 }),
  assemble('h100', h100Parts),
  assemble('h100-roce', { ...h100Parts, fabric: podRoce400, numGpus: 16_384 }),
  assemble('h200', { ...h100Parts, chip: h200, dollarsPerGpuHour: 3 }),
  assemble('h20', {
    ...h100Parts,
    chip: h20,
    node: { watts: 7200, note: 'assumed: DGX H100 less 8 × (700 − 400) W, and less cooling' },
    dollarsPerGpuHour: 1.2,
    communicationSms: 12,
    sources: { communicationSms: { kind: 'assumed', note: 'V3’s share of 132 SMs, of 78' } },
  }),
  assemble('a100', {
    chip: a100,
    links: nvlink600,
    // Forty ports and two layers end at 800 NICs; a SuperPOD of 140 nodes has a core, too.
    fabric: { ...railInfiniband200, scaleOut: { ...railInfiniband200.scaleOut, layers: 3 } },
    numGpus: 1024,
    node: { watts: 6500, note: 'DGX A100 data sheet: 6.5 kW at most for eight' },
    hostBytes: 2e12,
    hostBytesPerSecond: PCIE4,
    dollarsPerGpuHour: 1.5,
    communicationSms: 16,
    sources: { communicationSms: { kind: 'assumed', note: 'V3’s share of 132 SMs, of 108' } },
  }),
  assemble('a100-pcie', {
    chip: a100Pcie,
    links: pcie4,
    fabric: fireFlyer,
    numGpus: 4800,
    node: { watts: 2500, note: 'Fire-Flyer AI-HPC (SC 2024), table 2: 2.5 kW for eight' },
    hostBytes: 512e9,
    hostBytesPerSecond: PCIE4,
    dollarsPerGpuHour: 1,
    // HFReduce sums on the host and copies with the copy engines: no SM is taken.
    communicationSms: 0,
    sources: {
      communicationSms: { kind: 'measured', note: 'Fire-Flyer AI-HPC: HFReduce takes no SM' },
    },
  }),
  assemble('b200', {
    chip: b200,
    links: nvlink1800,
    fabric: railInfiniband400,
    numGpus: 1024,
    node: { watts: 14_300, note: 'DGX B200 data sheet: 14.3 kW at most for eight' },
    hostBytes: 2e12,
    hostBytesPerSecond: PCIE5,
    dollarsPerGpuHour: 5,
    communicationSms: V3_COMMUNICATION_SMS,
  }),
  assemble('gb200-nvl72', gb200Parts),
  // Runs whose sizes are powers of two leave a tray of each rack, or two, as spares.
  assemble('gb200-nvl64', { ...gb200Parts, links: nvlinkRack(64), numGpus: 512 }),
  assemble('mi300x', {
    chip: mi300x,
    links: infinityFabric,
    fabric: railRoce400,
    numGpus: 1024,
    node: { watts: 10_600, note: 'assumed: 8 × 750 W and the rest of a DGX H100' },
    hostBytes: 2e12,
    hostBytesPerSecond: PCIE5,
    dollarsPerGpuHour: 2,
    communicationSms: 32,
    sources: { communicationSms: { kind: 'assumed', note: 'RCCL’s usual channels, of 304 CUs' } },
  }),
  assemble('ascend-910b', {
    chip: ascend910b,
    links: hccs,
    fabric: railRoce200,
    numGpus: 1024,
    node: { watts: 5600, note: 'Atlas 800T A2: 5.6 kW at most for eight' },
    hostBytes: 1e12,
    hostBytesPerSecond: PCIE4,
    dollarsPerGpuHour: 1.2,
    communicationSms: 0,
    sources: {
      communicationSms: { kind: 'assumed', note: 'copies run on SDMA engines beside the cores' },
    },
  }),
  assemble('rtx4090', {
    chip: rtx4090,
    links: pcie4,
    fabric: oneNic200,
    numGpus: 8,
    node: { watts: 4500, note: 'assumed: 8 × 450 W and a quarter more for the host' },
    hostBytes: 512e9,
    hostBytesPerSecond: PCIE4,
    dollarsPerGpuHour: 0.4,
    communicationSms: 8,
    sources: { communicationSms: { kind: 'assumed', note: 'NCCL over PCIe: few channels' } },
  }),
];

/** With the layers that their usual size needs. */
const kinds = assembled.map((each) => withNumGpus(each, each.numGpus));

/** Sizes that papers made known; `h100x16384` is Llama 3's, on RoCE. */
const known: readonly (readonly [string, string, number])[] = [
  ['h800x2048', 'h800', 2048],
  ['h800x2048-mrft', 'h800-mrft', 2048],
  ['h100x1024', 'h100', 1024],
  ['h100x16384', 'h100-roce', 16_384],
];

export const clusterNames: readonly string[] = [
  ...known.map(([name]) => name),
  ...kinds.map(({ name }) => name),
];

/**
 * @param name a kind (`h20`), or a kind with a size (`h20x512`, `h800x1024-mrft`)
 * @throws cluster.unknown with the nearest name, cluster.size when nodes would not be whole
 */
export function findCluster(name: string): ClusterSpec {
  const wanted = name.trim().toLowerCase();
  for (const [alias, kind, size] of known) {
    if (alias === wanted) return { ...withNumGpus(kindOf(kind), size), name: alias };
  }
  const exact = kinds.find((each) => each.name === wanted);
  if (exact !== undefined) return exact;
  const sized = splitSize(wanted);
  if (sized !== undefined) {
    return { ...withNumGpus(kindOf(sized.kind), sized.numGpus), name: wanted };
  }
  const near = nearestName(wanted, clusterNames);
  throw new MoebiusError('cluster.unknown', `there is no cluster "${name}"`, {
    values: { name, known: clusterNames },
    hint:
      near === undefined
        ? `Use one of ${clusterNames.join(', ')}, any with xN for its size, or a YAML file.`
        : `Did you mean "${near}"?`,
  });
}

/**
 * The same kind of cluster with another number of GPUs: a fat tree that two layers cannot hold
 * gets a third.
 *
 * @throws cluster.size when nodes would not be whole
 */
export function withNumGpus(cluster: ClusterSpec, numGpus: number): ClusterSpec {
  const { gpusPerNode } = cluster;
  if (!Number.isSafeInteger(numGpus) || numGpus < 1) {
    throw new MoebiusError('cluster.size', `a cluster of ${numGpus} GPUs is none`, {
      values: { numGpus },
      hint: 'Give a whole number of at least 1.',
    });
  }
  if (numGpus < gpusPerNode) {
    // A part of one node.
    return { ...cluster, numGpus, gpusPerNode: numGpus };
  }
  if (numGpus % gpusPerNode !== 0) {
    const below = Math.floor(numGpus / gpusPerNode) * gpusPerNode;
    throw new MoebiusError('cluster.size', `${numGpus} GPUs are no whole nodes of ${gpusPerNode}`, {
      values: { numGpus, gpusPerNode },
      hint: `Take ${below} or ${below + gpusPerNode}.`,
    });
  }
  const { scaleOut } = cluster;
  const sized: ClusterSpec = { ...cluster, numGpus };
  if (scaleOut.layers === 3 || fabricEndpoints(sized) <= fabricCapacity(scaleOut)) return sized;
  return { ...sized, scaleOut: { ...scaleOut, layers: 3 } };
}

function kindOf(name: string): ClusterSpec {
  const kind = kinds.find((each) => each.name === name);
  assert(kind !== undefined, `no kind of cluster is called ${name}`);
  return kind;
}

/** `h800x2048-mrft` → h800-mrft with 2048; `mi300x512` → mi300x with 512. */
function splitSize(name: string): { kind: string; numGpus: number } | undefined {
  const [, head, digits, tail] = /^(.+)x(\d+)((?:-[a-z0-9]+)*)$/.exec(name) ?? [];
  if (head === undefined || digits === undefined) return undefined;
  const found = [`${head}${tail}`, `${head}x${tail}`].find((each) =>
    kinds.some((kind) => kind.name === each),
  );
  return found === undefined ? undefined : { kind: found, numGpus: Number(digits) };
}
