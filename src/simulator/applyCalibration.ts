/**
 * Puts a calibration on prices: classes that it knows are scaled, and from then on are fitted, with
 * the calibration's error where it has one.
 */
import type { CalibratedClass, Calibration } from './calibrate.ts';
import type { KernelFactors } from './cost/kernelTime.ts';
import { kernelClasses } from './cost/stageWork.ts';
import type { Estimate } from './estimate.ts';
import type { NetworkModel } from './networkModel.ts';
import { tracedClass } from './trace/costClasses.ts';

type Classes = Pick<Calibration, 'classes'>;

/** What `createStageCosts` multiplies kernels by; BF16 products of all kinds have one factor. */
export function kernelFactors(calibration: Classes): KernelFactors {
  const factors: { -readonly [Name in keyof KernelFactors]: KernelFactors[Name] } = {};
  for (const name of kernelClasses) {
    const found = classOf(name, calibration);
    if (found !== undefined) factors[name] = found;
  }
  return factors;
}

/** The same network with the transfers of the trace as long as they were there. */
export function calibratedNetwork(network: NetworkModel, calibration: Classes): NetworkModel {
  const priced = (name: string, price: Estimate): Estimate => calibrated(name, price, calibration);
  return {
    dispatch: (exchange) => priced('dispatch', network.dispatch(exchange)),
    combine: (exchange) => priced('combine', network.combine(exchange)),
    send: (args) => priced('sendReceive', network.send(args)),
    reduceScatter: (args) => priced('reduceScatter', network.reduceScatter(args)),
    allGather: (args) => priced('allGather', network.allGather(args)),
    allReduce: (args) => priced('allReduce', network.allReduce(args)),
    allToAll: (args) => priced('allToAll', network.allToAll(args)),
  };
}

function calibrated(name: string, price: Estimate, calibration: Classes): Estimate {
  const { seconds, source, relativeError } = price;
  const found = classOf(name, calibration);
  if (found === undefined) return { seconds, source, relativeError };
  return {
    seconds: seconds * found.factor,
    source: 'fitted',
    relativeError: found.relativeError ?? relativeError,
  };
}

function classOf(name: string, { classes }: Classes): CalibratedClass | undefined {
  const traced = tracedClass(name);
  return classes.find((each) => each.name === traced);
}
