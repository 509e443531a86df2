/**
 * How this code calls the C++ kernels, as hashes of what these read (written by
 * `node scripts/update-convention.js`, held to `csrc/` by a test). An addon says what it was built
 * with, and is refused where it differs: called all the same, it would take a count for an address.
 */

export interface CallingConvention {
  /** Of everything below, and of the addon's own entries. */
  readonly whole: string;
  /** Of each operation: what it reads, in which order. */
  readonly operations: Readonly<Record<string, string>>;
}

/** Operations that an addon calls otherwise, or that only one of both sides has. */
export function differingOperations(addon: {
  readonly operations: readonly string[];
  readonly signatures: readonly string[];
}): string[] {
  const { operations } = CALLING_CONVENTION;
  const differing = addon.operations.filter((name, i) => operations[name] !== addon.signatures[i]);
  const missing = Object.keys(operations).filter((name) => !addon.operations.includes(name));
  return [...differing, ...missing];
}

export const CALLING_CONVENTION: CallingConvention = {
  whole: 'c4e9d328',
  operations: {
    fill: '6d83bc87',
    copy: '2dd9b90a',
    add: '6c9c313e',
    scale: '6ec18300',
    lerp: '0197748f',
    sumOfSquares: '3d3046f4',
    rooflineFma: 'a208ccf7',
    rooflineRead: '8340b8f2',
    vectorMath: '3ae33cea',
    matmul: '7f23b461',
    groupedMatmul: '9778f193',
    headMatmul: '6884119a',
    fp8Matmul: '37aaed39',
    mlaAttention: '673aa58d',
    mlaAttentionBackward: '843d073e',
    appendCache: 'f9d1f76e',
    readCache: 'bcef5b37',
    absorbedAttention: 'a33ef778',
    mlaDecode: 'f01e731b',
    feedForwardDecode: '6631ac1f',
    rmsNorm: 'ddbc559d',
    rmsNormBackwardInput: '0ae8aadd',
    rmsNormBackwardWeight: '5f61aef9',
    rope: '108df28f',
    swiglu: '1ac47d9b',
    swigluBackward: 'ae18dc43',
    routeTopK: 'c7345037',
    routeTopKBackward: '8d1d00ad',
    balanceLoss: '1ac5d270',
    sortByExpert: '298753a1',
    permute: '946824cf',
    unpermute: '651524ef',
    unpermuteBackwardInput: '7709f364',
    unpermuteBackwardWeights: '669dad38',
    updateRouterBias: 'd95cf7de',
    embedding: '22de3d49',
    embeddingBackward: 'cb74dd9f',
    headCrossEntropy: '46eb10d0',
    adjustLogits: '9af0c1fb',
    sampleTokens: '672778f8',
    topTokens: 'f27fcee8',
    adamw: '3deb784d',
    quantizeFp8: 'e9af7080',
    dequantizeFp8: 'cddfe50e',
    findSpecialCodes: 'cd204cb5',
  },
};
