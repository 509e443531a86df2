/**
 * Interprets serving programs on real kernels: prompts and decoded rows through the model, samples
 * at their ends, and drafts behind what was accepted (`drafter.ts`).
 */
import { AssertionError, assert, at } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import { oneRank } from '../kernels/collectives.ts';
import { type I32, type Kernels, MAX_DECODE_ROWS, type SamplingRule } from '../kernels/kernels.ts';
import type { CacheDType } from '../kernels/latentCache.ts';
import type { StepContext } from '../model/context.ts';
import { decodeGroups, numRowsOf, runDecodeGroups, tiledKernels } from '../model/decodeGroups.ts';
import { type DecodePass, DecodePasses } from '../model/decodePasses.ts';
import { logitsOfRows, runRows, type States } from '../model/inference.ts';
import { createRoutingCounts, type Model, zeroCounts } from '../model/model.ts';
import { f32Values } from '../model/parameters.ts';
import type { WantedRows } from '../model/recordedDraw.ts';
import type { RouterWeights } from '../model/router.ts';
import { type SampledRows, sampleRows } from '../model/sampler.ts';
import {
  checkWish,
  type RowWish,
  type ScoredRows,
  sampleScored,
  type TopRow,
} from '../model/scoredSampling.ts';
import {
  type AttentionForm,
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  type ServingRows,
  uploadServingRows,
} from '../model/servingRows.ts';
import { acceptDrafts } from '../policy/speculation/accept.ts';
import type {
  ExpertLoadsOutcome,
  Program,
  RoutesOutcome,
  SampleRequest,
  SequenceTokens,
  ServingInstruction,
  ServingOutcome,
} from '../program/instruction.ts';
import { SPAN_OF_DRAFTS, type Span } from '../program/span.ts';
import type { Arena, ArenaMark } from '../tensor/arena.ts';
import { numColumns } from '../tensor/tensor.ts';
import { Drafter, type DraftSequence } from './drafter.ts';
import { onlyProgram } from './localExecutor.ts';
import { routesOfRows } from './routesOfRows.ts';

const NO_DRAFTS: readonly DraftSequence[] = [];

export interface ServingRankOptions {
  readonly kernels: Kernels;
  readonly model: Model;
  readonly clock: Clock;
  readonly numBlocks: number;
  readonly blockSize: number;
  /** Positions a sequence may take. */
  readonly maxPositions: number;
  readonly mtpHidden: StepContext['options']['mtpHidden'];
  /** What latents are kept in; f32 when left out. */
  readonly cacheDtype?: CacheDType;
  /**
   * A row's bits depend on nothing but its own prefix, and on which of it was prompt: not on how a
   * prompt is cut, what it finds cached, or what else runs. Short prompts take longer.
   */
  readonly deterministic?: boolean;
}

/** The pass that was run last, until the next one. */
interface LastPass {
  readonly states: States;
  readonly sequences: readonly SequenceTokens[];
  /** Of each sequence. */
  readonly firstRows: readonly number[];
  /** null where the rows were laid out for this pass alone. */
  readonly decode: DecodePass | null;
}

interface PlacedTokens {
  readonly firstRow: number;
  readonly tokens: SequenceTokens;
}

export class LocalServingExecutor implements ServingExecutor {
  readonly #options: ServingRankOptions;
  readonly #arena: Arena;
  readonly #caches: LatentCaches;
  readonly #context: StepContext;
  readonly #decodePasses: DecodePasses;
  readonly #mark: ArenaMark;
  #last: LastPass | null = null;
  readonly #drafter: Drafter;

  constructor(options: ServingRankOptions) {
    this.#options = options;
    const { kernels, model, numBlocks, blockSize } = options;
    const { config } = model.shared;
    const cacheArena = kernels.createArena('caches');
    const layers = [...model.blocks, ...model.mtp.map(({ block }) => block)].map((b) => b.layer);
    this.#caches = createLatentCaches({
      arena: cacheArena,
      config,
      layers,
      numBlocks,
      blockSize,
      dtype: options.cacheDtype ?? 'f32',
    });
    const { stage } = model;
    const counts = createRoutingCounts({ kernels, arena: cacheArena, config, stage });
    this.#arena = kernels.createArena('serving');
    this.#mark = this.#arena.mark();
    this.#context = {
      kernels,
      arena: this.#arena,
      collectives: oneRank,
      counts,
      options: {
        mtpWeight: 0,
        balanceCoefficient: 0,
        balanceForm: 'paper',
        mtpHidden: options.mtpHidden,
      },
    };
    this.#decodePasses = new DecodePasses(
      { ...this.#context, arena: kernels.createArena('decoding') },
      model,
      { caches: this.#caches, maxPositions: options.maxPositions },
    );
    this.#drafter = new Drafter(this.#context, model, {
      caches: this.#caches,
      maxPositions: options.maxPositions,
    });
  }

  async run(programs: readonly Program<ServingInstruction>[]): Promise<RunResult<ServingOutcome>> {
    const { clock } = this.#options;
    const { instructions } = onlyProgram(programs);
    const spans: Span[] = [];
    const outcomes: ServingOutcome[] = [];
    for (let index = 0; index < instructions.length; index++) {
      const instruction = at(instructions, index);
      const start = clock.now();
      const drafting = await this.#do(instruction, outcomes);
      const sampled = clock.now();
      if (drafting.length > 0 && this.#last !== null) {
        await this.#drafter.draft(drafting, this.#last);
      }
      const end = drafting.length > 0 ? clock.now() : sampled;
      const place = { rank: 0, instruction: index };
      spans.push({ ...place, name: instruction.kind, start, end });
      if (drafting.length > 0) spans.push({ ...place, name: SPAN_OF_DRAFTS, start: sampled, end });
    }
    return { spans, outcomes };
  }

  /** @returns the sequences that are to get drafts now */
  async #do(
    instruction: ServingInstruction,
    outcomes: ServingOutcome[],
  ): Promise<readonly DraftSequence[]> {
    switch (instruction.kind) {
      case 'prefill':
        this.#prefill(instruction.sequences);
        return NO_DRAFTS;
      case 'decode':
        this.#decode(instruction.sequences);
        return NO_DRAFTS;
      case 'sample':
        return this.#sample(instruction.sequences, outcomes);
      case 'fillDrafts':
        this.#fillDrafts(instruction.sequences);
        return NO_DRAFTS;
      case 'forget':
        for (const sequenceId of instruction.sequenceIds) this.#drafter.forget(sequenceId);
        return NO_DRAFTS;
      case 'route':
        outcomes.push(await this.#route(instruction.sequence));
        return NO_DRAFTS;
      case 'reportExperts':
        outcomes.push(await this.#expertLoads());
        if (instruction.then === 'reset') {
          zeroCounts(this.#options.kernels, this.#context.counts);
        }
        return NO_DRAFTS;
      default:
        return instruction satisfies never;
    }
  }

  #prefill(sequences: readonly SequenceTokens[]): void {
    const { model, deterministic = false } = this.#options;
    const isDecoding = numRowsOf(sequences) <= MAX_DECODE_ROWS && sequences.every(isContinued);
    if (isDecoding && !deterministic) {
      this.#decode(sequences);
      return;
    }
    this.#beginPass(sequences);
    const kernels = deterministic ? tiledKernels(this.#context.kernels) : this.#context.kernels;
    const rows = this.#upload(sequences, deterministic ? 'plain' : 'cheaper');
    const states = runRows({ ...this.#context, kernels }, model, { rows, caches: this.#caches });
    this.#last = { states, sequences, firstRows: rows.firstRows, decode: null };
  }

  #decode(sequences: readonly SequenceTokens[]): void {
    this.#beginPass(sequences);
    if (numRowsOf(sequences) <= MAX_DECODE_ROWS) {
      const decode = this.#decodePasses.run(sequences);
      const { states, firstRows } = decode;
      this.#last = { states, sequences, firstRows, decode };
      return;
    }
    const groups = decodeGroups(sequences, MAX_DECODE_ROWS);
    const states = runDecodeGroups(this.#context, this.#decodePasses, groups);
    const firstRows: number[] = [];
    let row = 0;
    for (const { ids } of sequences) {
      firstRows.push(row);
      row += ids.length;
    }
    this.#last = { states, sequences, firstRows, decode: null };
  }

  #beginPass(sequences: readonly SequenceTokens[]): void {
    this.#arena.release(this.#mark);
    this.#last = null;
    for (let i = 0; i < sequences.length; i++) this.#drafter.begin(at(sequences, i));
  }

  #fillDrafts(wanted: Extract<ServingInstruction, { kind: 'fillDrafts' }>['sequences']): void {
    const last = this.#last;
    assert(last !== null, 'drafts are filled after a pass');
    const chunks = wanted.map(({ sequenceId, nextIds }) => {
      const { firstRow, tokens } = placedOf(last, { sequenceId, positions: 1 });
      const { ids, firstPosition, blocks } = tokens;
      return { sequenceId, nextIds, rowIds: ids, firstPosition, blocks, firstState: firstRow };
    });
    this.#drafter.fill(chunks, last.states);
  }

  /** What a prompt's rows chose, as the gates of its own pass saw it. */
  async #route(sequence: SequenceTokens): Promise<RoutesOutcome> {
    const { model, deterministic = false } = this.#options;
    this.#arena.release(this.#mark);
    this.#last = null;
    const context = {
      ...this.#context,
      kernels: deterministic ? tiledKernels(this.#context.kernels) : this.#context.kernels,
    };
    const rows = this.#upload([sequence], 'plain');
    const args = { rows, caches: this.#caches };
    const layers = await routesOfRows(context, (watched) => runRows(watched, model, args));
    return { kind: 'routes', sequenceId: sequence.sequenceId, layers };
  }

  async #expertLoads(): Promise<ExpertLoadsOutcome> {
    const { layers, all } = this.#context.counts;
    const counts = all === null ? null : await this.#options.kernels.read(all);
    const width = all === null ? 0 : numColumns(all);
    const biases = new Map(
      await Promise.all(routersOf(this.#options.model).map((router) => this.#biasOf(router))),
    );
    return {
      kind: 'expertLoads',
      layers: layers.map((layer, i) => ({
        layer,
        tokensPerExpert: [...(counts?.subarray(i * width, (i + 1) * width) ?? [])],
        bias: biases.get(layer) ?? [],
      })),
    };
  }

  async #biasOf({ layer, bias }: RouterWeights): Promise<[number, readonly number[]]> {
    return [layer, [...(await this.#options.kernels.read(f32Values(bias)))]];
  }

  /**
   * One hop to the host for all sequences, and one more where a row wants more than a draw.
   *
   * Plain loops: whatever is called between two tokens comes from memory.
   *
   * @returns the sequences that are to get drafts
   */
  async #sample(
    requests: readonly SampleRequest[],
    outcomes: ServingOutcome[],
  ): Promise<readonly DraftSequence[]> {
    const last = this.#last;
    assert(last !== null, 'a sample follows a pass');
    const chosen: number[] = [];
    const rules: SamplingRule[] = [];
    const positions: number[] = [];
    for (let r = 0; r < requests.length; r++) {
      const request = at(requests, r);
      const { firstRow, tokens } = placedOf(last, request);
      for (let i = tokens.ids.length - request.positions; i < tokens.ids.length; i++) {
        chosen.push(firstRow + i);
        rules.push(request.sampling);
        positions.push(tokens.firstPosition + i + 1);
      }
    }
    const wishes = wishesOf(requests, this.#options.model.shared.config.vocabSize);
    const wanted: WantedRows = { chosen, rules, positions };
    const rows: SampledRows & Partial<ScoredRows> =
      wishes === null
        ? await (last.decode?.sample(wanted) ?? this.#sampleRows(last.states, wanted))
        : await this.#sampleScored(last, wanted, wishes);
    const drafting: DraftSequence[] = [];
    let next = 0;
    for (let r = 0; r < requests.length; r++) {
      const request = at(requests, r);
      const { sequenceId } = request;
      const sampled: number[] = [];
      const logProbabilities: number[] = [];
      const first = next;
      for (const end = next + request.positions; next < end; next++) {
        sampled.push(at(rows.ids, next));
        logProbabilities.push(at(rows.logProbabilities, next));
      }
      const drafts: number[] = [];
      const top = rows.top === undefined ? {} : topOf(rows.top.slice(first, next));
      outcomes.push({ kind: 'tokens', sequenceId, sampled, logProbabilities, drafts, ...top });
      if (request.numDrafts === 0) continue;
      const { firstRow, tokens } = placedOf(last, request);
      const drafter = this.#drafter;
      if (!drafter.isCovered(sequenceId, { depth: 1, firstPosition: tokens.firstPosition })) {
        continue;
      }
      const { firstPosition, blocks } = tokens;
      const firstSampled = tokens.ids.length - request.positions;
      const accepted = acceptDrafts(tokens.ids.slice(firstSampled + 1), sampled);
      const ids = [...tokens.ids.slice(1, firstSampled + 1), ...accepted.tokens];
      const settled = { sequenceId, ids, firstPosition, blocks, firstState: firstRow };
      drafting.push({ ...settled, request, drafts });
    }
    return drafting;
  }

  /** Tokens behind chosen rows of some states. */
  #sampleRows(states: States, { chosen, rules, positions }: WantedRows): Promise<SampledRows> {
    const rows = this.#integers(chosen);
    const logits = logitsOfRows(this.#context, this.#options.model, { states, rows });
    return sampleRows(this.#context, { logits, rules, positions });
  }

  /** The same, for rows whose logits are changed or reported on. */
  #sampleScored(
    { states, decode }: LastPass,
    { chosen, rules, positions }: WantedRows,
    wishes: readonly RowWish[],
  ): Promise<ScoredRows> {
    const { model } = this.#options;
    const logits =
      decode?.logits(chosen) ??
      logitsOfRows(this.#context, model, { states, rows: this.#integers(chosen) });
    return sampleScored(this.#context, { logits, rules, positions, wishes });
  }

  #upload(sequences: readonly SequenceRows[], form: AttentionForm = 'cheaper'): ServingRows {
    const { kernels, model, maxPositions } = this.#options;
    const { vocabSize } = model.shared.config;
    const [arena, caches] = [this.#arena, this.#caches];
    return uploadServingRows({ kernels, arena, sequences, caches, vocabSize, maxPositions, form });
  }

  #integers(values: readonly number[]): I32 {
    const tensor = this.#arena.allocate('i32', [values.length]);
    this.#options.kernels.write(tensor, new Int32Array(values));
    return tensor;
  }
}

/** What the rows want beyond a draw; null where none wants anything. */
function wishesOf(requests: readonly SampleRequest[], vocabSize: number): RowWish[] | null {
  if (!requests.some(wishesMore)) return null;
  return requests.flatMap((request) => {
    const { sequenceId, positions, adjustments, numTop = 0, probabilitiesOf = 'model' } = request;
    const isWhole = adjustments === undefined || adjustments.length === positions;
    assert(isWhole, 'an adjustment or none for every position');
    return Array.from({ length: positions }, (_, i) => {
      const wish = { adjustment: adjustments?.[i] ?? null, numTop, probabilitiesOf };
      checkWish(wish, { vocabSize, sequenceId });
      return wish;
    });
  });
}

function wishesMore({ adjustments, numTop = 0, probabilitiesOf }: SampleRequest): boolean {
  const isAdjusted = adjustments?.some((each) => each !== null) ?? false;
  return isAdjusted || numTop > 0 || probabilitiesOf === 'sampler';
}

/** Of one sequence, which asked for them at all of its positions or at none. */
function topOf(rows: readonly (TopRow | null)[]): { top?: readonly TopRow[] } {
  const top = rows.filter((row) => row !== null);
  return top.length === 0 ? {} : { top };
}

/** Of the MTP modules too. */
function routersOf({ blocks, mtp }: Model): readonly RouterWeights[] {
  const all = [...blocks, ...mtp.map(({ block }) => block)];
  return all.flatMap(({ feedForward }) => feedForward.routed?.router ?? []);
}

function isContinued({ firstPosition }: SequenceTokens): boolean {
  return firstPosition > 0;
}

function placedOf(
  { sequences, firstRows }: LastPass,
  { sequenceId, positions }: Pick<SampleRequest, 'sequenceId' | 'positions'>,
): PlacedTokens {
  for (let i = 0; i < sequences.length; i++) {
    const tokens = at(sequences, i);
    if (tokens.sequenceId !== sequenceId) continue;
    assert(positions >= 1 && positions <= tokens.ids.length, 'positions within the pass');
    return { firstRow: at(firstRows, i), tokens };
  }
  throw new AssertionError('the sequence was not run');
}
