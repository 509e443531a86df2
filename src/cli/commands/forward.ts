/**
 * `moebius forward`: one batch through the model, and every activation (and gradient) as a tensor
 * that another implementation can be held against. Names and shapes are those of
 * `tests/golden/README.md`; losses carry the keys of its `expected.json`.
 */
import { assert } from '../../base/assert.ts';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { type TensorToWrite, writeSafetensors } from '../../checkpoint/safetensors.ts';
import { storedNames } from '../../checkpoint/storedDType.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { TRAIN_DEFAULTS } from '../../config/trainConfig.ts';
import { oneRank } from '../../kernels/collectives.ts';
import type { LossOptions } from '../../model/context.ts';
import { type LossReport, lossReport, readRecord } from '../../model/loss.ts';
import { nextTokenBatch, type TokenBatch } from '../../model/microBatch.ts';
import { createRoutingCounts } from '../../model/model.ts';
import { checkpointGradients, zeroGradients } from '../../model/parameters.ts';
import { StageRunner } from '../../model/stageRunner.ts';
import { countTargets } from '../../program/microBatch.ts';
import { createFileSink } from '../../runtime/files.ts';
import { type OpenedModel, openModel, readJson } from '../../runtime/openModel.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { formatTable, note, printResult } from '../output.ts';
import { type Machine, openMachine } from '../wiring.ts';

export interface ForwardOptions {
  readonly checkpoint: string;
  readonly inputs: string;
  readonly output: string;
  readonly options?: string;
  readonly gradients?: boolean;
  readonly kernels?: string;
  readonly json?: boolean;
}

export async function forward(options: ForwardOptions): Promise<void> {
  const machine = openMachine({ kernels: options.kernels, note });
  const opened = await openModel({
    path: options.checkpoint,
    kernels: machine.kernels,
    withGradients: options.gradients === true,
    ...(machine.mapFile === undefined ? {} : { mapFile: machine.mapFile }),
  });
  for (const notice of opened.notices) note(notice);
  const sequences = parseInputs(await readJson(options.inputs), options.inputs);
  const coefficients = lossOptions(
    opened.config,
    options.options === undefined ? undefined : await readJson(options.options),
    options.options ?? '',
  );
  const batch = nextTokenBatch(sequences, opened.config.numNextnPredictLayers);
  const { losses, tensors } = await runForward(machine, opened, {
    batch,
    options: coefficients,
    withGradients: options.gradients === true,
  });
  const toWrite: TensorToWrite[] = [];
  for (const { name, shape, tensor } of tensors) {
    const values = await machine.kernels.read(tensor);
    toWrite.push({
      name,
      dtype: storedNames[tensor.dtype],
      shape,
      bytes: async () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
  }
  await writeSafetensors(await createFileSink(options.output, 'new'), toWrite, { format: 'pt' });
  const json = lossesJson(losses, batch, coefficients);
  const rows = Object.entries(json)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => [name, (value as number).toFixed(6)]);
  printResult(options, {
    table: [
      formatTable(rows, ['loss', 'value']),
      `${tensors.length} tensors in ${options.output} (${machine.description} kernels)`,
    ].join('\n'),
    json: { losses: json, tensors: tensors.length, output: options.output },
  });
}

/** @throws input.shape when it is not `{ "input_ids": [[…], …] }` with rows of one length */
export function parseInputs(json: unknown, source: string): number[][] {
  const rows = (json as { input_ids?: unknown } | null)?.input_ids;
  const isMatrix =
    Array.isArray(rows) &&
    rows.length > 0 &&
    rows.every(
      (row) =>
        Array.isArray(row) &&
        row.length > 1 &&
        row.length === (rows[0] as unknown[]).length &&
        row.every((id) => Number.isInteger(id)),
    );
  if (isMatrix) return rows as number[][];
  throw new MoebiusError('input.shape', `${source} holds no batch of token ids`, {
    values: { source },
    hint: 'Give {"input_ids": [[1, 2, …], …]}: rows of one length, of two ids or more.',
  });
}

const OPTION_KEYS = ['mtp_lambda', 'balance_alpha', 'balance_mode', 'mtp_hidden'];

/** Coefficients from a file of the golden format, over V3's own for this architecture. */
export function lossOptions(config: ModelConfig, json: unknown, source: string): LossOptions {
  const defaults: LossOptions = {
    mtpWeight: TRAIN_DEFAULTS.mtp.weight,
    balanceCoefficient: TRAIN_DEFAULTS.balance.coefficient,
    balanceForm: config.scoringFunc === 'sigmoid' ? 'paper' : 'selected',
    mtpHidden: 'postNorm',
  };
  if (json === undefined) return defaults;
  const given = (json as { options?: unknown } | null)?.options;
  if (typeof given !== 'object' || given === null) return defaults;
  for (const key of Object.keys(given)) {
    if (OPTION_KEYS.includes(key)) continue;
    throw new MoebiusError('forward.option', `"${key}" in ${source} is no option`, {
      values: { key },
      hint: `Use ${nearestName(key, OPTION_KEYS) ?? OPTION_KEYS.join(', ')}.`,
    });
  }
  const { mtp_lambda, balance_alpha, balance_mode, mtp_hidden } = given as Record<string, unknown>;
  return {
    mtpWeight: amount(mtp_lambda, { key: 'mtp_lambda', or: defaults.mtpWeight }),
    balanceCoefficient: amount(balance_alpha, {
      key: 'balance_alpha',
      or: defaults.balanceCoefficient,
    }),
    balanceForm: oneOf(balance_mode, {
      key: 'balance_mode',
      choices: { paper: 'paper', selected: 'selected' },
      or: defaults.balanceForm,
    }),
    mtpHidden: oneOf(mtp_hidden, {
      key: 'mtp_hidden',
      choices: { post_norm: 'postNorm', pre_norm: 'preNorm' },
      or: defaults.mtpHidden,
    }),
  };
}

function amount(value: unknown, { key, or }: { key: string; or: number }): number {
  if (value === undefined) return or;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new MoebiusError('forward.option', `${key} is ${JSON.stringify(value)}`, {
    values: { [key]: value },
    hint: 'Give a number that is not negative.',
  });
}

function oneOf<T extends string>(
  value: unknown,
  { key, choices, or }: { key: string; choices: Record<string, T>; or: T },
): T {
  if (value === undefined) return or;
  const choice = typeof value === 'string' ? choices[value] : undefined;
  if (choice !== undefined) return choice;
  throw new MoebiusError('forward.option', `${key} is ${JSON.stringify(value)}`, {
    values: { [key]: value },
    hint: `Give ${Object.keys(choices).join(' or ')}.`,
  });
}

interface NamedResult {
  readonly name: string;
  readonly shape: readonly number[];
  readonly tensor: Tensor;
}

async function runForward(
  { kernels }: Machine,
  { config, model, parameters, maxPositions }: OpenedModel,
  args: { batch: TokenBatch; options: LossOptions; withGradients: boolean },
): Promise<{ losses: LossReport; tensors: NamedResult[] }> {
  const { batch, options, withGradients } = args;
  const counts = createRoutingCounts({
    kernels,
    arena: kernels.createArena('counts'),
    config,
    stage: parameters.stage,
  });
  const runner = new StageRunner({ kernels, model, collectives: oneRank, counts, maxPositions });
  const settings = {
    isTraining: withGradients,
    numMtpDepths: config.numNextnPredictLayers,
    normalizers: countTargets(batch),
    numMicroBatches: 1,
  };
  const tensors: NamedResult[] = [];
  if (withGradients) zeroGradients(kernels, parameters);
  runner.load(0, batch);
  runner.forward(0, {
    settings,
    options,
    hidden: null,
    capture: (name, tensor) => {
      if (name.startsWith('debug.')) return;
      const [rows = 0, ...rest] = tensor.shape;
      assert(rows % batch.numSequences === 0, `${name} has whole sequences`);
      const shape = [batch.numSequences, rows / batch.numSequences, ...rest];
      tensors.push({ name, shape, tensor });
    },
  });
  const sums = [];
  for (const record of runner.records) sums.push(await readRecord(kernels, record));
  const losses = lossReport(sums, settings, options);
  // What was captured lies in the micro-batch's arena, so it is copied before backward reuses it.
  const arena = kernels.createArena('captured');
  const kept = tensors.map((each) => {
    const copy = arena.allocate(each.tensor.dtype, each.tensor.shape);
    kernels.copy({ out: copy, x: each.tensor });
    return { ...each, tensor: copy };
  });
  if (withGradients) {
    runner.backward(0, null);
    for (const { name, view } of checkpointGradients(parameters)) {
      kept.push({ name: `grad.${name}`, shape: view.shape, tensor: view });
    }
  }
  return { losses, tensors: kept };
}

function lossesJson(
  losses: LossReport,
  batch: TokenBatch,
  options: LossOptions,
): Record<string, number | readonly number[]> {
  const { main, mtp } = countTargets(batch);
  const json = {
    total: losses.total,
    main: losses.main,
    mtp: losses.mtp,
    mtp_per_depth: losses.mtpPerDepth,
    balance_times_alpha: losses.balance * options.balanceCoefficient,
  };
  if (mtp.length === 0) return json;
  const overMain = losses.mtpPerDepth.map((loss, depth) => (loss * (mtp[depth] ?? 0)) / main);
  const sum = overMain.reduce((total, value) => total + value, 0);
  return { ...json, mtp_if_divided_by_main_count: sum / mtp.length };
}
