/**
 * Serving programs on described hardware: the model's own serving passes on the meta kernels, a
 * price for every operation, and tokens from wherever the caller has them: a recorded run, a trace
 * of real traffic, chance. The engine above cannot tell.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import { callShape } from '../kernels/callShape.ts';
import { oneRank } from '../kernels/collectives.ts';
import type { CacheDType } from '../kernels/latentCache.ts';
import { createMetaKernels, type MetaKernels, type OperationRecord } from '../kernels/meta.ts';
import type { StepContext } from '../model/context.ts';
import { gatherRows } from '../model/embedding.ts';
import { draftRows, logitsOfRows, runRows, type States } from '../model/inference.ts';
import { createModel, createRoutingCounts, type Model } from '../model/model.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import { createParameters, type WeightDType } from '../model/parameters.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  uploadServingRows,
} from '../model/servingRows.ts';
import { acceptDrafts } from '../policy/speculation/accept.ts';
import type {
  Program,
  SampleRequest,
  SequenceTokens,
  ServingInstruction,
  ServingOutcome,
  TokensOutcome,
} from '../program/instruction.ts';
import { SPAN_OF_DRAFTS, type Span } from '../program/span.ts';
import type { Arena, ArenaMark } from '../tensor/arena.ts';
import type { CostModel } from './costModel.ts';

/** Where simulated tokens come from. */
export interface TokenSource {
  /** The token at a position of a sequence. */
  tokenAt(sequenceId: number, position: number): number;
  /** What is drafted for a position, `depth` drafts (from 1) behind the last decided token. */
  draftAt(sequenceId: number, place: { readonly position: number; readonly depth: number }): number;
}

export interface SimulatedServingOptions {
  readonly config: ModelConfig;
  readonly dtypeOf: (name: string) => WeightDType;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly maxPositions: number;
  /** What latents are kept in, f32 when left out: fewer bytes are read and written. */
  readonly cacheDtype?: CacheDType;
  readonly cost: CostModel;
  readonly tokens: TokenSource;
}

type Fill = Extract<ServingInstruction, { kind: 'fillDrafts' }>['sequences'][number];

/** The pass that was run last. */
interface LastPass {
  readonly sequences: readonly SequenceTokens[];
  readonly firstRows: readonly number[];
  readonly states: States;
}

export class SimulatedServingExecutor implements ServingExecutor {
  readonly #options: SimulatedServingOptions;
  readonly #meta: MetaKernels = createMetaKernels();
  readonly #model: Model;
  readonly #arena: Arena;
  readonly #mark: ArenaMark;
  readonly #caches: LatentCaches;
  readonly #context: StepContext;
  #last: LastPass | null = null;
  #seconds = 0;

  constructor(options: SimulatedServingOptions) {
    this.#options = options;
    const { config, dtypeOf, maxPositions, numBlocks, blockSize } = options;
    const { kernels } = this.#meta;
    const arena = kernels.createArena('weights');
    const stage = wholeModel(config);
    const withGradients = false;
    const parameters = createParameters({ kernels, arena, config, stage, withGradients, dtypeOf });
    this.#model = createModel({ kernels, arena, config, parameters, maxPositions });
    const { blocks, mtp } = this.#model;
    const layers = [...blocks, ...mtp.map(({ block }) => block)].map(({ layer }) => layer);
    const dtype = options.cacheDtype ?? 'f32';
    this.#caches = createLatentCaches({ arena, config, layers, numBlocks, blockSize, dtype });
    const counts = createRoutingCounts({ kernels, arena, config, stage });
    this.#arena = kernels.createArena('serving');
    this.#mark = this.#arena.mark();
    this.#context = {
      ...{ kernels, arena: this.#arena, collectives: oneRank, counts },
      options: {
        ...{ mtpWeight: 0, balanceCoefficient: 0 },
        ...{ balanceForm: 'paper', mtpHidden: 'postNorm' },
      },
    };
    // What a model is made of is there before the first step.
    this.#meta.records.length = 0;
  }

  /** Simulated seconds since the beginning. */
  get seconds(): number {
    return this.#seconds;
  }

  async run(programs: readonly Program<ServingInstruction>[]): Promise<RunResult<ServingOutcome>> {
    if (programs.length !== 1) {
      throw new MoebiusError('program.ranks', 'this simulation is of one rank', {
        values: { ranks: programs.map(({ rank }) => rank) },
        hint: 'Give it one program, for rank 0.',
      });
    }
    const { instructions } = at(programs, 0);
    const spans: Span[] = [];
    const outcomes: ServingOutcome[] = [];
    for (const [instruction, each] of instructions.entries()) {
      const start = this.#seconds;
      const drafting = await this.#do(each, outcomes);
      const end = this.#seconds;
      const place = { rank: 0, instruction };
      spans.push({ ...place, name: each.kind, start, end });
      if (drafting !== null) spans.push({ ...place, name: SPAN_OF_DRAFTS, start: drafting, end });
    }
    return { spans, outcomes };
  }

  /** @returns when drafting began, if it did */
  async #do(instruction: ServingInstruction, outcomes: ServingOutcome[]): Promise<number | null> {
    switch (instruction.kind) {
      case 'prefill':
      case 'decode':
        this.#pass(instruction.sequences);
        return null;
      case 'fillDrafts':
        this.#fill(instruction.sequences);
        return null;
      case 'sample':
        return this.#sample(instruction.sequences, outcomes);
      case 'forget':
        return null;
      case 'route': {
        const { sequence } = instruction;
        this.#pass([sequence]);
        outcomes.push({ kind: 'routes', sequenceId: sequence.sequenceId, layers: [] });
        return null;
      }
      case 'reportExperts':
        // Nobody was routed anywhere.
        outcomes.push({ kind: 'expertLoads', layers: [] });
        return null;
      default:
        instruction satisfies never;
        return null;
    }
  }

  #pass(sequences: readonly SequenceTokens[]): void {
    this.#arena.release(this.#mark);
    const rows = this.#upload(sequences);
    const states = runRows(this.#context, this.#model, { rows, caches: this.#caches });
    this.#last = { sequences, firstRows: rows.firstRows, states };
    this.#price();
  }

  async #sample(
    requests: readonly SampleRequest[],
    outcomes: ServingOutcome[],
  ): Promise<number | null> {
    const drafting: { outcome: TokensOutcome; drafts: number[]; request: SampleRequest }[] = [];
    let numRows = 0;
    for (const request of requests) {
      const { sequenceId, positions } = request;
      const { ids, firstPosition } = this.#rowsOf(sequenceId);
      const first = firstPosition + ids.length - positions + 1;
      const sampled = Array.from({ length: positions }, (_, i) =>
        this.#options.tokens.tokenAt(sequenceId, first + i),
      );
      numRows += positions;
      const drafts: number[] = [];
      const logProbabilities = sampled.map(() => Number.NaN);
      const outcome = { kind: 'tokens' as const, sequenceId, sampled, logProbabilities, drafts };
      outcomes.push(outcome);
      if (request.numDrafts > 0) drafting.push({ outcome, drafts, request });
    }
    const { kernels } = this.#meta;
    const logits = this.#logits(numRows);
    kernels.sampleTokens({
      ...{ ids_T: this.#arena.allocate('i32', [numRows]), logits_TV: logits },
      logProbabilities_T: this.#arena.allocate('f32', [numRows]),
      rules: requests.flatMap((each) => new Array(each.positions).fill(each.sampling)),
      positions: new Array(numRows).fill(0),
    });
    this.#price();
    if (drafting.length === 0 || this.#model.mtp.length === 0) return null;
    const begin = this.#seconds;
    for (const { outcome, drafts, request } of drafting) {
      const { ids, firstPosition, blocks } = this.#rowsOf(outcome.sequenceId);
      const first = ids.length - request.positions;
      const { tokens } = acceptDrafts(ids.slice(first + 1), outcome.sampled);
      const known = [...ids.slice(1, first + 1), ...tokens];
      const position = firstPosition + known.length;
      // Drafts go as far as the sequence has blocks.
      const room = Math.min(blocks.length * this.#options.blockSize, this.#options.maxPositions);
      for (let depth = 1; depth <= request.numDrafts; depth++) {
        const rows = depth === 1 ? known : known.slice(-1);
        const at = depth === 1 ? firstPosition : position + depth - 2;
        if (at >= room) break;
        this.#module(depth, [{ ids: rows, firstPosition: at, blocks }]);
        this.#logits(1);
        const place = { position: position + depth, depth };
        drafts.push(this.#options.tokens.draftAt(outcome.sequenceId, place));
      }
    }
    this.#price();
    return begin;
  }

  #fill(wanted: readonly Fill[]): void {
    for (const [index] of this.#model.mtp.entries()) {
      const sequences = wanted.map(({ sequenceId, nextIds }) => {
        const { ids, firstPosition, blocks } = this.#rowsOf(sequenceId);
        const known = [...ids.slice(index + 1), ...nextIds.slice(0, index + 1)];
        return { ids: known, firstPosition, blocks };
      });
      this.#module(index + 1, sequences);
    }
    this.#price();
  }

  #module(depth: number, sequences: readonly SequenceRows[]): void {
    const last = this.#lastPass();
    const rows = this.#upload(sequences);
    const chosen = this.#arena.allocate('i32', [rows.count]);
    this.#meta.kernels.write(chosen, new Int32Array(rows.count));
    draftRows(this.#context, this.#model, {
      depth: Math.min(depth, this.#model.mtp.length),
      previous: gatherRows(this.#context, last.states[this.#context.options.mtpHidden], chosen),
      rows,
      caches: this.#caches,
    });
  }

  #logits(numRows: number): ReturnType<typeof logitsOfRows> {
    const rows = this.#arena.allocate('i32', [numRows]);
    this.#meta.kernels.write(rows, new Int32Array(numRows));
    return logitsOfRows(this.#context, this.#model, { states: this.#lastPass().states, rows });
  }

  #upload(sequences: readonly SequenceRows[]): ReturnType<typeof uploadServingRows> {
    const { config, maxPositions } = this.#options;
    return uploadServingRows({
      ...{ kernels: this.#meta.kernels, arena: this.#arena, caches: this.#caches, sequences },
      ...{ vocabSize: config.vocabSize, maxPositions },
    });
  }

  /** What was written down since the last time, on the clock. */
  #price(): void {
    for (const record of this.#meta.records) this.#seconds += this.#secondsOf(record);
    this.#meta.records.length = 0;
  }

  #secondsOf({ operation, args, flops, bytesRead, bytesWritten }: OperationRecord): number {
    const work = { flops, bytes: bytesRead + bytesWritten };
    const isLocal = operation !== 'dispatch' && operation !== 'combine';
    if (args === undefined || !isLocal || operation === 'allReduce') {
      return this.#options.cost.seconds({ key: operation, family: operation, ...work });
    }
    return this.#options.cost.seconds({ ...callShape({ operation, args }), ...work });
  }

  #lastPass(): LastPass {
    assert(this.#last !== null, 'a sample follows a pass');
    return this.#last;
  }

  #rowsOf(sequenceId: number): SequenceTokens {
    const found = this.#lastPass().sequences.find((each) => each.sequenceId === sequenceId);
    assert(found !== undefined, 'the sequence was run');
    return found;
  }
}
