/**
 * What a machine was measured to do: its roofline, and what each operation costs on it.
 *
 * The cost of an operation is linear in its work, `seconds = perCall + perFlop · FLOPs + perByte ·
 * bytes`, fitted to samples of that operation on that machine; shapes that were measured themselves
 * are priced by their own sample. Only costs are modelled, and costs are what calibration measures.
 */
export interface OperationCost {
  readonly secondsPerCall: number;
  readonly secondsPerFlop: number;
  readonly secondsPerByte: number;
}

/** One measured call: its work, by the meta kernels' count, and its median time. */
export interface OperationSample {
  /** Operation and everything about its shape that decides its speed; equal keys cost the same. */
  readonly key: string;
  /** Operation and layout: samples of one family share a fitted cost. */
  readonly family: string;
  readonly flops: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface Roofline {
  /** Fused multiply-adds of registers alone, in FLOP/s, on `threads` threads. */
  readonly fmaPeak: number;
  /** Bytes per second read from memory far larger than the caches. */
  readonly readBandwidth: number;
  /** Bytes per second copied (each counted once). */
  readonly copyBandwidth: number;
}

export interface MachineProfile {
  /** Backend, instruction set and threads: "native avx2, 2 threads". */
  readonly name: string;
  readonly threads: number;
  readonly roofline: Roofline;
  readonly samples: readonly OperationSample[];
}
