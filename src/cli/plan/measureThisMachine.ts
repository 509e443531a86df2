/** The machine at hand as a cluster of one, from what `doctor` measures. */
import { availableParallelism, totalmem } from 'node:os';
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { thisMachine } from '../../config/clusters/thisMachine.ts';
import { measureRoofline } from '../../kernels/native.ts';
import { nativeOptionsFromEnvironment } from '../../runtime/loadAddon.ts';
import { openMachine } from '../wiring.ts';

/** @throws plan.thisMachine without the native kernels, which measure the limits */
export function measureThisMachine(): ClusterSpec {
  const { addon, threads, description } = openMachine();
  if (addon === null) {
    throw new MoebiusError('plan.thisMachine', 'without native kernels nothing measures limits', {
      values: { kernels: description },
      hint: 'Build them (npm run build:native), or describe the machine in a YAML file.',
    });
  }
  const options = { ...nativeOptionsFromEnvironment(), threads, seconds: 0.3 };
  const { flopsPerSecond, readBytesPerSecond } = measureRoofline(addon, options);
  return thisMachine({
    name: description,
    cores: Math.min(threads, availableParallelism()),
    fmaPeak: flopsPerSecond,
    readBandwidth: readBytesPerSecond,
    memoryBytes: totalmem(),
  });
}
