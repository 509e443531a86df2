/**
 * The efficiency curves as `fitCurves.ts` made them, with their residuals: InferSim's tables of an
 * H800 (`../shared/data/h800-kernels`) and the published tables of `publishedKernels.ts`. Do not
 * edit: `tests/simulator/costFits.test.ts` holds every number to the fit and prints what differs.
 */
import type { Curves } from './fitCurves.ts';

export const curves: Curves = {
  fp8First: {
    curve: {
      tensorShare: 0.97012,
      stepSeconds: 9.7923e-8,
      tileSeconds: 0.0000021125,
      launchSeconds: 0.0000010757,
      memoryShare: 0.77116,
      maxTileN: 128,
      groups: 'together',
    },
    residuals: {
      count: 18,
      median: 0.029194,
      p90: 0.096239,
      rms: 0.050642,
    },
  },
  fp8Later: {
    curve: {
      tensorShare: 0.8715,
      stepSeconds: 8.9051e-8,
      tileSeconds: 3.4847e-7,
      launchSeconds: 0.0000049414,
      memoryShare: 0.75983,
      maxTileN: 160,
      groups: 'together',
    },
    residuals: {
      count: 110,
      median: 0.073987,
      p90: 0.19801,
      rms: 0.11216,
    },
  },
  fp8GroupedFirst: {
    curve: {
      tensorShare: 0.69906,
      stepSeconds: 8.1678e-20,
      tileSeconds: 0.0000015551,
      launchSeconds: 0.0000042519,
      memoryShare: 0.6741,
      maxTileN: 128,
      groups: 'together',
    },
    residuals: {
      count: 10,
      median: 0.020065,
      p90: 0.097385,
      rms: 0.040163,
    },
  },
  fp8GroupedLater: {
    curve: {
      tensorShare: 0.95693,
      stepSeconds: 1.5213e-7,
      tileSeconds: 6.771e-7,
      launchSeconds: 0.000031362,
      memoryShare: 0.69925,
      maxTileN: 160,
      groups: 'together',
    },
    residuals: {
      count: 48,
      median: 0.047245,
      p90: 0.16643,
      rms: 0.089655,
    },
  },
  fp8MaskedLater: {
    curve: {
      tensorShare: 0.55809,
      stepSeconds: 8.405e-9,
      tileSeconds: 4.9147e-7,
      launchSeconds: 0.000010746,
      memoryShare: 0.84789,
      maxTileN: 160,
      groups: 'together',
    },
    residuals: {
      count: 94,
      median: 0.056271,
      p90: 0.27707,
      rms: 0.20923,
    },
  },
  fp8WeightGradientFirst: {
    curve: {
      tensorShare: 0.59222,
      stepSeconds: 7.2573e-8,
      tileSeconds: 0.0000041203,
      launchSeconds: 0.000011084,
      memoryShare: 0.55521,
      maxTileN: 152,
      groups: 'apart',
    },
    residuals: {
      count: 14,
      median: 0.0054292,
      p90: 0.01294,
      rms: 0.10026,
    },
  },
  fp8WeightGradientLater: {
    curve: {
      tensorShare: 0.71066,
      stepSeconds: 6.0478e-8,
      tileSeconds: 0.0000034336,
      launchSeconds: 0.000011084,
      memoryShare: 0.55521,
      maxTileN: 152,
      groups: 'apart',
    },
    residuals: {
      count: 14,
      median: 0.0054292,
      p90: 0.01294,
      rms: 0.0072624,
    },
  },
  bf16: {
    curve: {
      tensorShare: 0.87462,
      stepSeconds: 5.0364e-8,
      tileSeconds: 0.0000024427,
      launchSeconds: 0.0000042616,
      memoryShare: 0.94982,
      maxTileN: 128,
      groups: 'together',
    },
    residuals: {
      count: 7,
      median: 0.011891,
      p90: 0.021586,
      rms: 0.013468,
    },
  },
  attentionForward: {
    tensorShare: 0.62663,
    launchSeconds: 0.000038106,
    secondsPerElement: 0,
    tile: 128,
    residuals: {
      count: 5,
      median: 0.007744,
      p90: 0.069457,
      rms: 0.043268,
    },
  },
  attentionBackward: {
    tensorShare: 0.59762,
    launchSeconds: 0,
    secondsPerElement: 7.2245e-12,
    tile: 128,
    residuals: {
      count: 6,
      median: 0.019684,
      p90: 0.026477,
      rms: 0.018743,
    },
  },
  castLater: {
    memoryShare: 0.86005,
    launchSeconds: 0.0000086663,
    residuals: {
      count: 10,
      median: 0.019457,
      p90: 0.0337,
      rms: 0.021251,
    },
  },
  castFirst: {
    memoryShare: 0.53234,
    launchSeconds: 0.0000092048,
    residuals: {
      count: 8,
      median: 0.057154,
      p90: 0.22594,
      rms: 0.10233,
    },
  },
};
