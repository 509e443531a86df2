/**
 * A machine one does not have: its chips, its links, its fabric and what it costs. Bandwidths are
 * bytes per second *of one GPU, one way*; whoever reads a data sheet in other terms (both ways, per
 * node, in bits) converts at the door, and the report shows what was derived.
 */

/** Where a description's number comes from: a data sheet, a published measurement, a guess. */
export type SpecSource = 'datasheet' | 'measured' | 'assumed';

export interface GpuSpec {
  readonly name: string;
  /** Streaming multiprocessors, or what the maker calls the unit that runs one block. */
  readonly numSms: number;
  /** Dense peaks of the tensor cores, FLOP/s; null where the format is not supported. */
  readonly peakFlops: { readonly bf16: number; readonly fp8: number | null };
  /** FP32 FLOP/s of the ordinary cores (an FMA counts as two). */
  readonly vectorFlops: number;
  readonly memoryBytes: number;
  readonly memoryBytesPerSecond: number;
  /**
   * How FP8 products are summed: `promoted`, partial sums go to the ordinary cores every 128 terms
   * (Hopper, report 3.3.2); `fp32`, the tensor core sums in FP32 by itself.
   */
  readonly fp8Accumulation: 'promoted' | 'fp32' | null;
  /** Host and device time that a kernel's start takes when kernels follow one another, seconds. */
  readonly launchSeconds: number;
}

/** Links between the GPUs of a scale-up domain: NVLink through switches, or PCIe. */
export interface ScaleUpSpec {
  readonly kind: 'nvlink' | 'pcie' | 'hccs' | 'xgmi';
  /** GPUs that reach one another by it: 8 in a Hopper node, 72 in an NVL72 rack. */
  readonly domainSize: number;
  readonly bytesPerSecond: number;
  /** Share of it that large transfers reach. */
  readonly achievableShare: number;
  /** One message from end to end, seconds. */
  readonly latencySeconds: number;
}

export type FabricKind =
  /** One plane or several, each NIC of a node in its own: MPFT (ISCA 2025, 5.1). */
  | 'multi-plane-fat-tree'
  /** NICs of the same number meet at the same leaf, all leaves under one spine: MRFT. */
  | 'multi-rail-fat-tree'
  /** All NICs of a node at one leaf. */
  | 'fat-tree'
  /** No network: one scale-up domain. */
  | 'none';

export interface ScaleOutSpec {
  readonly kind: FabricKind;
  /** 2: leaf and spine; 3: leaf, spine and core. */
  readonly layers: 2 | 3;
  /** Ports of one switch; half of a leaf's go down when nothing is oversubscribed. */
  readonly switchPorts: number;
  readonly nicsPerNode: number;
  /** One NIC, one way. */
  readonly nicBytesPerSecond: number;
  /** Share of it that large transfers reach. */
  readonly achievableShare: number;
  /** End to end under one leaf, and what each further switch adds, seconds. */
  readonly leafLatencySeconds: number;
  readonly hopLatencySeconds: number;
  /** Downlink over uplink bandwidth of a leaf: 1 blocks nothing. */
  readonly oversubscription: number;
  readonly routing: 'static' | 'ecmp' | 'adaptive';
  /** Planes (or rails) that are down, by number; their traffic goes over NVLink to another NIC. */
  readonly failedPlanes: readonly number[];
  /** Links that are down: leaf and spine of the uplink, by number. */
  readonly failedUplinks: readonly { readonly leaf: number; readonly spine: number }[];
  /** Switches copy one message to many receivers (ISCA 2025, 6.5). */
  readonly inNetworkMulticast: boolean;
  /** Switches add up what many senders send to one receiver (ISCA 2025, 6.5). */
  readonly inNetworkReduce: boolean;
  /**
   * One network inside and between nodes: hardware forwards, copies and adds up where kernels on
   * SMs do so today (ISCA 2025, 4.4).
   */
  readonly unifiedScaleUpOut: boolean;
}

export interface PriceSpec {
  readonly dollarsPerGpuHour: number;
  /** A GPU with its share of host, network and cooling is `wattsPerGpu` × `pue`. */
  readonly wattsPerGpu: number;
  readonly pue: number;
}

export interface ClusterSpec {
  readonly name: string;
  readonly gpu: GpuSpec;
  readonly numGpus: number;
  readonly gpusPerNode: number;
  readonly scaleUp: ScaleUpSpec;
  readonly scaleOut: ScaleOutSpec;
  readonly host: {
    /** Of one node. */
    readonly memoryBytes: number;
    /** Between host and one GPU, one way. */
    readonly bytesPerSecond: number;
  };
  readonly price: PriceSpec;
  /** SMs that communication kernels take from computing while both run; 0: a co-processor. */
  readonly communicationSms: number;
  /** Where numbers are from, by their path (`scaleUp.bytesPerSecond`); others are data sheets. */
  readonly sources: Readonly<Record<string, { readonly kind: SpecSource; readonly note: string }>>;
}
