/**
 * Training as a function: the run of `moebius train` with its checkpoints and metrics files,
 * watched by a program instead of a terminal; and its step priced before anything is trained.
 */
import { activeParameters, countParameters } from '../config/modelCounts.ts';
import { parseTrainConfig } from '../config/parseTrainConfig.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import type { TrainingObserver, TrainingSummary } from '../training/events.ts';
import { BEGINNING, microBatchSizes, schedulesOf, stepPrograms } from '../training/step.ts';
import { type FamilyWork, priceStep } from './priceStep.ts';
import { runTraining, wantedKernels } from './runTraining.ts';
import { openMachine } from './wiring.ts';
import { zipfBatch } from './zipfBatch.ts';

export interface TrainModelOptions {
  /** The run's folder; the config's own by default, or `runs/NAME`. */
  readonly directory?: string;
  /** Goes on from the folder's newest checkpoint, bit for bit. */
  readonly resume?: boolean;
  /** Told of every step, evaluation, sample and checkpoint; the run waits for it. */
  readonly onEvent?: TrainingObserver;
  /** Told what is being prepared, in sentences. */
  readonly onNotice?: (notice: string) => void;
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
}

export interface TrainedModel extends TrainingSummary {
  /** The run's folder: checkpoints, `metrics.jsonl`, TensorBoard files. */
  readonly directory: string;
  /** Said before step 1, from this machine's measured operation costs. */
  readonly predictedStepSeconds: number;
}

/**
 * Trains a model as its config says.
 *
 * @returns the summary, also of a run that was told to stop (`end`: `requested`) or that the guard
 *   stopped (`fault`)
 * @throws run.exists, run.nothing, config.*, data.*, tokenizer.*, checkpoint.*, resume.*
 */
export async function trainModel(
  config: TrainConfig,
  options: TrainModelOptions = {},
): Promise<TrainedModel> {
  const { directory = config.directory, resume = false, onEvent, onNotice, signal } = options;
  const checked = parseTrainConfig({ ...config, directory }, 'trainModel');
  const request = { config: checked, derived: [], resume };
  const run = await runTraining(request, {
    note: onNotice ?? (() => {}),
    showFacts: () => {},
    observer: onEvent ?? (() => {}),
    stopOn: (stop) => {
      if (signal?.aborted === true) stop();
      signal?.addEventListener('abort', stop);
      return () => signal?.removeEventListener('abort', stop);
    },
  });
  return {
    ...run.summary,
    directory: run.directory,
    predictedStepSeconds: run.prediction.seconds,
  };
}

export interface PredictedTraining {
  readonly stepSeconds: number;
  readonly runSeconds: number;
  readonly parameters: number;
  readonly activeParameters: number;
  /** Weights, gradients and moments. */
  readonly stateBytes: number;
  /** The most bytes of activations alive at once. */
  readonly activationBytes: number;
  /** Where the time of a step goes, by operation. */
  readonly operations: readonly FamilyWork[];
  /** What would compute: "native avx2, 2 threads", "wasm, 2 threads", "reference". */
  readonly machine: string;
}

/**
 * How long a training step would take here: the step's own programs on a simulated executor, with
 * the cost of each operation measured now. No text is read and nothing is trained.
 */
export async function predictTraining(config: TrainConfig): Promise<PredictedTraining> {
  const checked = parseTrainConfig(config, 'predictTraining');
  const { model, batch } = checked;
  const { kernels, threads } = checked.machine;
  const machine = openMachine({ kernels: wantedKernels(kernels), threads });
  const sizes = microBatchSizes(checked, schedulesOf(checked), BEGINNING);
  const batches = sizes.map((numSequences) =>
    zipfBatch(model, { numSequences, length: batch.length }),
  );
  const { seconds, stateBytes, activationBytes, families } = await priceStep(
    checked,
    machine,
    stepPrograms(checked, batches),
  );
  return {
    stepSeconds: seconds,
    runSeconds: seconds * checked.steps,
    parameters: countParameters(model).total,
    activeParameters: activeParameters(model).withEmbeddingAndHead,
    stateBytes,
    activationBytes,
    operations: families,
    machine: machine.description,
  };
}
