/**
 * Links inside a node and networks between nodes, as data sheets and papers give them, brought to
 * bytes per second of one GPU or NIC, one way.
 */
import type { ClusterSpec, ScaleOutSpec, ScaleUpSpec } from '../clusterSpec.ts';

type Sources = ClusterSpec['sources'];

export interface Links {
  readonly scaleUp: ScaleUpSpec;
  readonly sources: Sources;
}

export interface Fabric {
  readonly scaleOut: ScaleOutSpec;
  readonly sources: Sources;
}

/** Bits per second, as networks are sold, in bytes. */
const gigabits = (value: number): number => (value * 1e9) / 8;

/** ISCA 2025, table 5: 64 bytes over NVLink from end to end. */
const NVLINK_SECONDS = 3.33e-6;

function nvlink(bothWays: number, note: string): Links {
  return {
    scaleUp: {
      kind: 'nvlink',
      domainSize: 8,
      bytesPerSecond: bothWays / 2,
      achievableShare: 0.8,
      latencySeconds: NVLINK_SECONDS,
    },
    sources: {
      'scaleUp.bytesPerSecond': { kind: 'datasheet', note },
      'scaleUp.achievableShare': {
        kind: 'assumed',
        note: 'what H800 reaches: 160 of 200 GB/s (DeepSeek-V3 report, 3.2.2; ISCA 2025, 4.1)',
      },
      'scaleUp.latencySeconds': {
        kind: 'measured',
        note: 'ISCA 2025, table 5: 64 bytes over NVLink',
      },
    },
  };
}

export const nvlink400: Links = {
  ...nvlink(400e9, 'H800: 400 GB/s both ways'),
  sources: {
    ...nvlink(400e9, 'H800: 400 GB/s both ways').sources,
    'scaleUp.achievableShare': {
      kind: 'measured',
      note: '160 of 200 GB/s (DeepSeek-V3 report, 3.2.2; ISCA 2025, 4.1)',
    },
  },
};
/** Third and fourth generation. */
export const nvlink600: Links = nvlink(600e9, 'A100: 600 GB/s both ways');
export const nvlink900: Links = nvlink(900e9, 'H100, H200, H20: 900 GB/s both ways');
/** Fifth. */
export const nvlink1800: Links = nvlink(1800e9, 'B200: 1.8 TB/s both ways');

/** One domain of a whole rack. */
export function nvlinkRack(gpus: number): Links {
  return { ...nvlink1800, scaleUp: { ...nvlink1800.scaleUp, domainSize: gpus } };
}

/** PCIe 4.0 × 16 through the host's root ports. */
export const pcie4: Links = {
  scaleUp: {
    kind: 'pcie',
    domainSize: 8,
    bytesPerSecond: 32e9,
    achievableShare: 0.84,
    latencySeconds: 5e-6,
  },
  sources: {
    'scaleUp.bytesPerSecond': { kind: 'datasheet', note: 'PCIe 4.0 × 16: 32 GB/s one way' },
    'scaleUp.achievableShare': {
      kind: 'measured',
      note: 'Fire-Flyer AI-HPC (SC 2024), IV-D: over 27 GB/s between a GPU and the host',
    },
    'scaleUp.latencySeconds': { kind: 'assumed', note: 'none published' },
  },
};

/** Seven links to seven peers; a peer is reached over one of them. */
export const infinityFabric: Links = {
  scaleUp: {
    kind: 'xgmi',
    domainSize: 8,
    bytesPerSecond: 448e9,
    achievableShare: 0.7,
    latencySeconds: 5e-6,
  },
  sources: {
    'scaleUp.bytesPerSecond': { kind: 'datasheet', note: 'MI300X: 7 links × 128 GB/s both ways' },
    'scaleUp.achievableShare': { kind: 'assumed', note: 'about 310 GB/s of bus bandwidth in RCCL' },
    'scaleUp.latencySeconds': { kind: 'assumed', note: 'none published' },
  },
};

/** Full mesh: seven links of 56 GB/s both ways. */
export const hccs: Links = {
  scaleUp: {
    kind: 'hccs',
    domainSize: 8,
    bytesPerSecond: 196e9,
    achievableShare: 0.75,
    latencySeconds: 5e-6,
  },
  sources: {
    'scaleUp.bytesPerSecond': { kind: 'datasheet', note: 'Atlas 800T A2: 392 GB/s both ways' },
    'scaleUp.achievableShare': { kind: 'assumed', note: 'none published' },
    'scaleUp.latencySeconds': { kind: 'assumed', note: 'none published' },
  },
};

/** One 400G InfiniBand NIC for each of a node's eight GPUs, 64-port switches. */
const infiniband400: Fabric = {
  scaleOut: {
    kind: 'multi-rail-fat-tree',
    layers: 2,
    switchPorts: 64,
    nicsPerNode: 8,
    nicBytesPerSecond: gigabits(400),
    achievableShare: 0.92,
    leafLatencySeconds: 2.8e-6,
    // Across leaves 3.7 µs, which is two more switches.
    hopLatencySeconds: 0.45e-6,
    oversubscription: 1,
    routing: 'adaptive',
    failedPlanes: [],
    failedUplinks: [],
    inNetworkMulticast: false,
    inNetworkReduce: false,
    unifiedScaleUpOut: false,
  },
  sources: {
    'scaleOut.nicBytesPerSecond': { kind: 'datasheet', note: '400 Gb/s InfiniBand NDR' },
    'scaleOut.achievableShare': {
      kind: 'measured',
      note: 'DeepEP tables, EP32 and EP64 on H800 with CX7: 44 to 47 of 50 GB/s',
    },
    'scaleOut.leafLatencySeconds': {
      kind: 'measured',
      note: 'ISCA 2025, table 5: 2.8 µs under one leaf, 3.7 µs across leaves',
    },
    'scaleOut.hopLatencySeconds': { kind: 'measured', note: 'ISCA 2025, table 5: (3.7 − 2.8) / 2' },
  },
};

export const railInfiniband400: Fabric = infiniband400;

/** Every NIC of a node in its own plane (ISCA 2025, 5.1); routed as DeepSeek runs it. */
export const planeInfiniband400: Fabric = {
  ...infiniband400,
  scaleOut: { ...infiniband400.scaleOut, kind: 'multi-plane-fat-tree' },
};

/** Eight 200G HDR NICs, 40-port switches: DGX A100. */
export const railInfiniband200: Fabric = {
  scaleOut: {
    ...infiniband400.scaleOut,
    switchPorts: 40,
    nicBytesPerSecond: gigabits(200),
  },
  sources: {
    ...infiniband400.sources,
    'scaleOut.nicBytesPerSecond': { kind: 'datasheet', note: '200 Gb/s InfiniBand HDR' },
    'scaleOut.achievableShare': { kind: 'assumed', note: 'as 400 Gb/s reaches in DeepEP' },
  },
};

/** One NIC for eight GPUs. */
export const oneNic200: Fabric = {
  ...railInfiniband200,
  scaleOut: { ...railInfiniband200.scaleOut, kind: 'fat-tree', nicsPerNode: 1 },
};

/**
 * Fire-Flyer 2: a zone is one two-layer fat tree of 800 ports, routed statically. Between a GPU and
 * the NIC, EPYC Rome's root ports pass 9 GiB/s.
 */
export const fireFlyer: Fabric = {
  scaleOut: { ...oneNic200.scaleOut, routing: 'static', achievableShare: 0.387 },
  sources: {
    ...oneNic200.sources,
    'scaleOut.achievableShare': {
      kind: 'measured',
      note: 'Fire-Flyer AI-HPC (SC 2024), IV-D: 9 GiB/s of 25 GB/s between GPU and NIC',
    },
    'scaleOut.layers': {
      kind: 'measured',
      note:
        'Fire-Flyer AI-HPC (SC 2024): two zones of 800 ports; jobs are placed so that one pair ' +
        'of nodes at most talks across, so a zone is described; more than 800 nodes get a core',
    },
  },
};

/** RoCE: longer through a switch (ISCA 2025, table 5), and hashed paths unless said otherwise. */
function roce(bits: number, note: string): Fabric {
  return {
    scaleOut: {
      ...infiniband400.scaleOut,
      nicBytesPerSecond: gigabits(bits),
      leafLatencySeconds: 3.6e-6,
      hopLatencySeconds: 1e-6,
      routing: 'ecmp',
    },
    sources: {
      'scaleOut.nicBytesPerSecond': { kind: 'datasheet', note },
      'scaleOut.achievableShare': { kind: 'assumed', note: 'as InfiniBand reaches in DeepEP' },
      'scaleOut.leafLatencySeconds': {
        kind: 'measured',
        note: 'ISCA 2025, table 5: 3.6 µs under one leaf, 5.6 µs across leaves',
      },
      'scaleOut.hopLatencySeconds': {
        kind: 'measured',
        note: 'ISCA 2025, table 5: (5.6 − 3.6) / 2',
      },
    },
  };
}

export const railRoce400: Fabric = roce(400, '400 Gb/s RoCE');
export const railRoce200: Fabric = roce(200, '200 Gb/s RoCE on each NPU');

/**
 * Meta's 24K cluster (Llama 3 report, 3.3.1): racks of two nodes, pods of 3,072 GPUs that nothing
 * blocks, and 1:7 between pods, which a leaf's oversubscription cannot say.
 */
export const podRoce400: Fabric = {
  scaleOut: { ...railRoce400.scaleOut, kind: 'fat-tree', layers: 3 },
  sources: {
    ...railRoce400.sources,
    'scaleOut.oversubscription': {
      kind: 'assumed',
      note: 'Llama 3 report, 3.3.1: 1:1 within pods of 3,072 GPUs; 1:7 between pods is left out',
    },
  },
};

/** Four 400G NICs on a tray of four GPUs. */
export const trayInfiniband400: Fabric = {
  ...infiniband400,
  scaleOut: { ...infiniband400.scaleOut, nicsPerNode: 4 },
};

export const noFabric: Fabric = {
  scaleOut: {
    kind: 'none',
    layers: 2,
    switchPorts: 2,
    nicsPerNode: 0,
    nicBytesPerSecond: 0,
    achievableShare: 1,
    leafLatencySeconds: 0,
    hopLatencySeconds: 0,
    oversubscription: 1,
    routing: 'static',
    failedPlanes: [],
    failedUplinks: [],
    inNetworkMulticast: false,
    inNetworkReduce: false,
    unifiedScaleUpOut: false,
  },
  sources: {},
};
