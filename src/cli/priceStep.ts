/**
 * How long a step will take, said before it is run: the step's own programs on a simulated
 * executor, with prices measured on this machine a moment ago.
 */
import { setImmediate } from 'node:timers/promises';
import type { MachineProfile } from '../config/machineProfile.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import type { StepPrograms } from '../policy/pipeline/singleRank.ts';
import { type Span, wallSeconds } from '../program/span.ts';
import { machineClock } from '../runtime/clock.ts';
import { type MeasurableCall, measureOperations } from '../runtime/measureOperations.ts';
import { type CostModel, createCostModel } from '../simulator/costModel.ts';
import {
  type SimulatedRankOptions,
  type TracedOperation,
  TracedRank,
} from '../simulator/traceTraining.ts';
import { measureLimits } from './measureLimits.ts';
import { type Machine, simulatedTrainingExecutor } from './wiring.ts';

export interface StepPrediction {
  readonly seconds: number;
  /** Of the step on the simulated executor. */
  readonly spans: readonly Span[];
  /** Weights, gradients and moments. */
  readonly stateBytes: number;
  readonly activationBytes: number;
  readonly profile: MachineProfile;
  /** What the step's operations come to, by operation, layout and types. */
  readonly families: readonly FamilyWork[];
}

export interface FamilyWork {
  readonly family: string;
  readonly calls: number;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
}

/** Measures the machine by the operations of this very step, then prices the step. */
export async function priceStep(
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
  const operations = operationsOf(options, programs);
  const profile = measureMachine(machine, distinctCalls(operations));
  // Pages that were given back go with the event loop's next turn, and the step needs the room.
  await setImmediate();
  const cost = createCostModel(profile);
  const simulated = simulatedTrainingExecutor({ ...options, cost });
  const compute = await simulated.run(programs.compute);
  const apply = await simulated.run(programs.apply);
  const spans = [...compute.spans, ...apply.spans];
  return {
    seconds: wallSeconds(spans),
    spans,
    stateBytes: simulated.stateBytes,
    activationBytes: simulated.peakActivationBytes,
    profile,
    families: byFamily(operations, cost),
  };
}

/** Every operation of a step. */
function operationsOf(
  options: SimulatedRankOptions,
  programs: StepPrograms,
): readonly TracedOperation[] {
  const rank = new TracedRank(options);
  return [...programs.compute, ...programs.apply].flatMap(({ instructions }) =>
    instructions.flatMap((instruction) => rank.trace(instruction)),
  );
}

function* distinctCalls(operations: readonly TracedOperation[]): Generator<MeasurableCall> {
  const seen = new Set<string>();
  for (const { call, key, flops, bytes } of operations) {
    if (call === null || seen.has(key)) continue;
    seen.add(key);
    yield { call, flops, bytes };
  }
}

function byFamily(operations: readonly TracedOperation[], cost: CostModel): FamilyWork[] {
  const families = new Map<string, FamilyWork>();
  for (const operation of operations) {
    const { family, flops, bytes } = operation;
    const sum = families.get(family) ?? { family, calls: 0, seconds: 0, flops: 0, bytes: 0 };
    families.set(family, {
      family,
      calls: sum.calls + 1,
      seconds: sum.seconds + cost.seconds(operation),
      flops: sum.flops + flops,
      bytes: sum.bytes + bytes,
    });
  }
  return [...families.values()];
}

function measureMachine(machine: Machine, calls: Iterable<MeasurableCall>): MachineProfile {
  const { kernels, threads, description } = machine;
  const samples = measureOperations(kernels, machineClock, calls);
  // Where nothing measures the limits every call of the step has its own sample.
  const unknown = { fmaPeak: 1e9, readBandwidth: 1e9, copyBandwidth: 1e9 };
  const roofline = measureLimits(machine) ?? unknown;
  return { name: description, threads, roofline, samples };
}
