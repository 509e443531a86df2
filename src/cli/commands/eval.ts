/** `moebius eval`: bits per byte of a checkpoint on text, which compares models and compressors. */
import type { TextDocument } from '../../base/document.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatCount } from '../../base/units.ts';
import type { TrainConfig } from '../../config/trainConfig.ts';
import { oneRank } from '../../kernels/collectives.ts';
import { readRecord } from '../../model/loss.ts';
import { createRoutingCounts } from '../../model/model.ts';
import { StageRunner } from '../../model/stageRunner.ts';
import { countTargets, type MicroBatch } from '../../program/microBatch.ts';
import { readDocuments } from '../../runtime/documents.ts';
import { type OpenedModel, openModel } from '../../runtime/openModel.ts';
import { bitsPerByte, validationSet } from '../../training/data/validation.ts';
import { trainedWith } from '../heldOutText.ts';
import { openTokenizer } from '../openGenerator.ts';
import { formatTable, note, printResult } from '../output.ts';
import { prepareText } from '../prepareTraining.ts';
import { type Machine, openMachine } from '../wiring.ts';

export interface EvalOptions {
  readonly checkpoint: string;
  readonly data?: string;
  readonly sequenceLength?: number;
  readonly maxTokens?: number;
  readonly kernels?: string;
  readonly json?: boolean;
}

const DEFAULT_LENGTH = 512;
const SEQUENCES_PER_PASS = 8;

export async function evaluate(options: EvalOptions): Promise<void> {
  const machine = openMachine({ kernels: options.kernels, note });
  const opened = await openModel({
    path: options.checkpoint,
    kernels: machine.kernels,
    ...(machine.mapFile === undefined ? {} : { mapFile: machine.mapFile }),
  });
  for (const notice of opened.notices) note(notice);
  const { tokenizer } = openTokenizer(options.checkpoint, opened.config.vocabSize);
  const trained = await trainedWith(options.checkpoint);
  const documents = await textOf(options, trained);
  const length = Math.min(
    options.sequenceLength ?? trained?.batch.length ?? DEFAULT_LENGTH,
    opened.maxPositions,
  );
  const shape = { length, mtpDepth: opened.config.numNextnPredictLayers };
  const set = validationSet(documents, tokenizer, { shape, microBatch: SEQUENCES_PER_PASS });
  const limit = options.maxTokens ?? Number.POSITIVE_INFINITY;
  const result = await measure(machine, opened, { batches: set.batches, limit });
  // With a limit, bytes are counted in proportion to the targets that were seen.
  const all = set.batches.reduce((sum, batch) => sum + countTargets(batch).main, 0);
  const numBytes = (set.numBytes * result.numTargets) / all;
  const bits = bitsPerByte(result.negativeLogLikelihood, numBytes);
  const lossPerToken = result.negativeLogLikelihood / result.numTargets;
  printResult(options, {
    table: formatTable([
      ['bits per byte', bits.toFixed(4)],
      ['loss per token', lossPerToken.toFixed(4)],
      ['perplexity per token', Math.exp(lossPerToken).toFixed(2)],
      ['tokens', formatCount(result.numTargets)],
      ['bytes', formatCount(Math.round(numBytes))],
      ['tokens per second', formatCount(Math.round(result.numTargets / result.seconds))],
      ['kernels', machine.description],
    ]),
    json: {
      bitsPerByte: bits,
      lossPerToken,
      numTokens: result.numTargets,
      numBytes: Math.round(numBytes),
      tokensPerSecond: result.numTargets / result.seconds,
      isComplete: result.numTargets === all,
    },
  });
}

/** The text that was named, or what the checkpoint's own run held out. */
async function textOf(
  options: EvalOptions,
  trained: TrainConfig | null,
): Promise<readonly TextDocument[]> {
  if (options.data !== undefined) return readDocuments(options.data);
  if (trained !== null) return (await prepareText(trained, note)).validation;
  throw new MoebiusError('eval.data', 'there is no text to evaluate on', {
    values: { checkpoint: options.checkpoint },
    hint: 'Give --data FILE; only checkpoints of this program know their held-out text.',
  });
}

async function measure(
  { kernels }: Machine,
  { config, model, parameters, maxPositions }: OpenedModel,
  { batches, limit }: { batches: readonly MicroBatch[]; limit: number },
): Promise<{ negativeLogLikelihood: number; numTargets: number; seconds: number }> {
  const arena = kernels.createArena('counts');
  const counts = createRoutingCounts({ kernels, arena, config, stage: parameters.stage });
  const runner = new StageRunner({ kernels, model, collectives: oneRank, counts, maxPositions });
  const started = performance.now();
  let negativeLogLikelihood = 0;
  let numTargets = 0;
  for (const batch of batches) {
    if (numTargets >= limit) break;
    runner.load(0, batch);
    runner.forward(0, {
      settings: {
        isTraining: false,
        numMtpDepths: 0,
        normalizers: countTargets(batch),
        numMicroBatches: 1,
      },
      options: {
        mtpWeight: 0,
        balanceCoefficient: 0,
        balanceForm: 'paper',
        mtpHidden: 'postNorm',
      },
      hidden: null,
    });
    for (const record of runner.records) {
      negativeLogLikelihood += (await readRecord(kernels, record)).main;
    }
    runner.endStep();
    numTargets += countTargets(batch).main;
  }
  return { negativeLogLikelihood, numTargets, seconds: (performance.now() - started) / 1000 };
}
