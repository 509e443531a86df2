/**
 * How long a step will take, said before it is run: the step's own programs on a simulated executor,
 * with prices measured on this machine a moment ago.
 */
import type { MachineProfile } from '../config/machineProfile.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import { measureRoofline } from '../kernels/native.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import type { StepPrograms } from '../policy/pipeline/singleRank.ts';
import { wallSeconds } from '../program/span.ts';
import { machineClock } from '../runtime/clock.ts';
import { nativeOptionsFromEnvironment } from '../runtime/loadAddon.ts';
import { type MeasurableCall, measureOperations } from '../runtime/measureOperations.ts';
import { createCostModel } from '../simulator/costModel.ts';
import { SimulatedTrainingExecutor } from '../simulator/simulatedExecutor.ts';
import { type SimulatedRankOptions, TracedRank } from '../simulator/traceTraining.ts';
import type { Machine } from './wiring.ts';

export interface StepPrediction {
  readonly seconds: number;
  /** Weights, gradients and moments. */
  readonly stateBytes: number;
  readonly activationBytes: number;
  readonly profile: MachineProfile;
}

/** Measures the machine by the operations of this very step, then prices the step. */
export async function predictStep(
  config: TrainConfig,
  machine: Machine,
  programs: StepPrograms,
): Promise<StepPrediction> {
  const options: SimulatedRankOptions = {
    config: config.model,
    stage: wholeModel(config.model),
    momentDType: 'f32',
    maxPositions: config.model.maxPositionEmbeddings,
    lossForm: { balanceForm: config.balance.form, mtpHidden: 'postNorm' },
  };
  const profile = measureMachine(machine, callsOf(options, programs));
  const simulated = new SimulatedTrainingExecutor({ ...options, cost: createCostModel(profile) });
  const compute = await simulated.run(programs.compute);
  const apply = await simulated.run(programs.apply);
  return {
    seconds: wallSeconds([...compute.spans, ...apply.spans]),
    stateBytes: simulated.stateBytes,
    activationBytes: simulated.peakActivationBytes,
    profile,
  };
}

/** The distinct calls of a step. */
function* callsOf(
  options: SimulatedRankOptions,
  programs: StepPrograms,
): Generator<MeasurableCall> {
  const rank = new TracedRank(options);
  const seen = new Set<string>();
  for (const { instructions } of [...programs.compute, ...programs.apply]) {
    for (const instruction of instructions) {
      for (const { call, key, flops, bytes } of rank.trace(instruction)) {
        if (call === null || seen.has(key)) continue;
        seen.add(key);
        yield { call, flops, bytes };
      }
    }
  }
}

function measureMachine(machine: Machine, calls: Iterable<MeasurableCall>): MachineProfile {
  const { kernels, addon, threads, description } = machine;
  const samples = measureOperations(kernels, machineClock, calls);
  if (addon === null) {
    // Without the addon nothing measures the limits; every call of the step has its own sample.
    const unknown = { fmaPeak: 1e9, readBandwidth: 1e9, copyBandwidth: 1e9 };
    return { name: description, threads, roofline: unknown, samples };
  }
  const limits = measureRoofline(addon, { ...nativeOptionsFromEnvironment(), threads });
  const roofline = {
    fmaPeak: limits.flopsPerSecond,
    readBandwidth: limits.readBytesPerSecond,
    copyBandwidth: limits.copyBytesPerSecond,
  };
  return { name: description, threads, roofline, samples };
}
