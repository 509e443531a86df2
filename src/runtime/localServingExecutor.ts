/**
 * Interprets serving programs on real kernels: prompts and decoded rows through the model, samples
 * at their ends, and drafts from the MTP modules.
 *
 * Drafting follows the rows that are settled, those whose next token is decided: module 1 continues
 * the main model's states with the tokens one place on and so keeps a cache of its own, without
 * gaps. Past the last settled row further drafts feed on drafts: with the next module if there is
 * one, else with the last module again, one position on. What a draft leaves in a cache is written
 * over once its position is settled, so a wrong one costs acceptance and never a token.
 */
import { assert, at } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import { oneRank } from '../kernels/collectives.ts';
import type { F32, I32, Kernels } from '../kernels/kernels.ts';
import type { StepContext } from '../model/context.ts';
import { draftRows, logitsOfRows, runRows, type States, statesOfRows } from '../model/inference.ts';
import { createRoutingCounts, type Model } from '../model/model.ts';
import { logProbability, sampleToken } from '../model/sampler.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  type ServingRows,
  uploadServingRows,
} from '../model/servingRows.ts';
import { acceptDrafts } from '../policy/speculation/accept.ts';
import type {
  Program,
  SequenceTokens,
  ServingInstruction,
  TokensOutcome,
} from '../program/instruction.ts';
import type { Span } from '../program/span.ts';
import type { Arena, ArenaMark } from '../tensor/arena.ts';
import { numColumns } from '../tensor/tensor.ts';
import { onlyProgram } from './localExecutor.ts';

export interface ServingRankOptions {
  readonly kernels: Kernels;
  readonly model: Model;
  readonly clock: Clock;
  readonly numBlocks: number;
  readonly blockSize: number;
  /** Positions a sequence may take. */
  readonly maxPositions: number;
  readonly mtpHidden: StepContext['options']['mtpHidden'];
}

type SampleRequest = Extract<ServingInstruction, { kind: 'sample' }>['sequences'][number];

/** The pass that was run last, until the next one. */
interface LastPass {
  readonly states: States;
  readonly rows: ReadonlyMap<
    number,
    { readonly firstRow: number; readonly tokens: SequenceTokens }
  >;
}

/** A sequence in a sample instruction, once its tokens are drawn. */
interface Settled {
  readonly request: SampleRequest;
  readonly tokens: SequenceTokens;
  /** Rows of the pass that stand, and the token behind each. */
  readonly rows: readonly number[];
  readonly nextIds: readonly number[];
}

export class LocalServingExecutor implements ServingExecutor {
  readonly #options: ServingRankOptions;
  readonly #arena: Arena;
  readonly #caches: LatentCaches;
  readonly #context: StepContext;
  readonly #mark: ArenaMark;
  #last: LastPass | null = null;
  /** Per sequence and module: positions its cache holds, from 0 without a gap. */
  readonly #covered = new Map<number, number[]>();

  constructor(options: ServingRankOptions) {
    this.#options = options;
    const { kernels, model, numBlocks, blockSize } = options;
    const { config } = model.shared;
    const cacheArena = kernels.createArena('caches');
    const layers = [...model.blocks, ...model.mtp.map(({ block }) => block)].map((b) => b.layer);
    this.#caches = createLatentCaches({ arena: cacheArena, config, layers, numBlocks, blockSize });
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
  }

  async run(programs: readonly Program<ServingInstruction>[]): Promise<RunResult<TokensOutcome>> {
    const { clock } = this.#options;
    const spans: Span[] = [];
    const outcomes: TokensOutcome[] = [];
    for (const [index, instruction] of onlyProgram(programs).instructions.entries()) {
      const start = clock.now();
      if (instruction.kind === 'sample')
        outcomes.push(...(await this.#sample(instruction.sequences)));
      else this.#run(instruction.sequences);
      spans.push({
        rank: 0,
        name: instruction.kind,
        instruction: index,
        start,
        end: clock.now(),
      });
    }
    return { spans, outcomes };
  }

  #run(sequences: readonly SequenceTokens[]): void {
    this.#arena.release(this.#mark);
    this.#last = null;
    const { model } = this.#options;
    for (const { sequenceId, firstPosition } of sequences) {
      if (firstPosition === 0)
        this.#covered.set(
          sequenceId,
          model.mtp.map(() => 0),
        );
    }
    const rows = this.#upload(sequences);
    const states = runRows(this.#context, model, { rows, caches: this.#caches });
    const placed = sequences.map(
      (tokens, i) => [tokens.sequenceId, { firstRow: at(rows.firstRows, i), tokens }] as const,
    );
    this.#last = { states, rows: new Map(placed) };
  }

  async #sample(requests: readonly SampleRequest[]): Promise<TokensOutcome[]> {
    const { model } = this.#options;
    assert(this.#last !== null, 'a sample follows a pass');
    const { states, rows } = this.#last;
    const wanted = requests.map((request) => {
      const placed = rows.get(request.sequenceId);
      assert(placed !== undefined, `sequence ${request.sequenceId} was run`);
      const count = placed.tokens.ids.length;
      assert(request.positions >= 1 && request.positions <= count, 'positions within the pass');
      return { request, ...placed, first: count - request.positions };
    });
    const logits = logitsOfRows(this.#context, model, {
      states,
      rows: this.#integers(
        wanted.flatMap(({ request, firstRow, first }) =>
          Array.from({ length: request.positions }, (_, i) => firstRow + first + i),
        ),
      ),
    });
    const values = new LogitRows(await this.#options.kernels.read(logits), logits);
    const settled: Settled[] = [];
    const outcomes = wanted.map(({ request, firstRow, tokens, first }) => {
      const sampled: number[] = [];
      const logProbabilities: number[] = [];
      for (let i = 0; i < request.positions; i++) {
        const row = values.next();
        const id = sampleToken(row, request.sampling, tokens.firstPosition + first + i + 1);
        sampled.push(id);
        logProbabilities.push(logProbability(row, id));
      }
      const accepted = acceptDrafts(tokens.ids.slice(first + 1), sampled);
      settled.push({
        request,
        tokens,
        rows: Array.from({ length: first + accepted.tokens.length }, (_, i) => firstRow + i),
        nextIds: [...tokens.ids.slice(1, first + 1), ...accepted.tokens],
      });
      return { sequenceId: request.sequenceId, sampled, logProbabilities };
    });
    const drafts = await this.#draft(settled, states);
    return outcomes.map((outcome) => ({
      kind: 'tokens',
      ...outcome,
      drafts: drafts.get(outcome.sequenceId) ?? [],
    }));
  }

  /** Drafts for every sequence that asks and whose module caches have no gap. */
  async #draft(
    settled: readonly Settled[],
    states: States,
  ): Promise<ReadonlyMap<number, readonly number[]>> {
    const drafts = new Map<number, number[]>();
    // Prompts first: the order in which rows are laid out.
    const able = settled
      .filter(({ request }) => request.numDrafts > 0)
      .filter(({ request, tokens }) => this.#isCovered(request.sequenceId, { depth: 1, tokens }))
      .sort((a, b) => Math.sign(a.tokens.firstPosition) - Math.sign(b.tokens.firstPosition));
    for (const { request } of able) drafts.set(request.sequenceId, []);
    let sequences: DraftSequence[] = able.map(({ request, tokens, nextIds }) => ({
      request,
      ids: nextIds,
      firstPosition: tokens.firstPosition,
      blocks: tokens.blocks,
    }));
    let continued = able.flatMap(({ rows }) => rows);
    let from = states;
    for (let depth = 1; sequences.length > 0; depth++) {
      const pass = this.#runModule({ depth, sequences, states: from, rows: continued });
      const sampled = await this.#sampleLast(pass);
      for (const [i, { request }] of sequences.entries()) {
        drafts.get(request.sequenceId)?.push(at(sampled, i));
      }
      const next = this.#goOn(pass, sampled);
      sequences = next.map(({ sequence }) => sequence);
      continued = next.flatMap(({ rows }) => rows);
      from = pass.states;
    }
    return drafts;
  }

  /** Whether a module's cache holds every position before the pass; without one it never does. */
  #isCovered(
    sequenceId: number,
    { depth, tokens }: { depth: number; tokens: { readonly firstPosition: number } },
  ): boolean {
    const covered = this.#covered.get(sequenceId)?.[depth - 1];
    return covered === tokens.firstPosition;
  }

  #runModule(args: {
    depth: number;
    sequences: readonly DraftSequence[];
    states: States;
    /** Rows of `states` that the module continues, sequence by sequence. */
    rows: readonly number[];
  }): DraftPass {
    const { depth, sequences } = args;
    const module = Math.min(depth, this.#options.model.mtp.length);
    const rows = this.#upload(sequences);
    const states = draftRows(this.#context, this.#options.model, {
      depth: module,
      previous: statesOfRows(this.#context, args.states, this.#integers(args.rows)),
      rows,
      caches: this.#caches,
    });
    if (module === depth) {
      for (const { request, firstPosition, ids } of sequences) {
        const covered = this.#covered.get(request.sequenceId);
        if (covered !== undefined) covered[module - 1] = firstPosition + ids.length;
      }
    }
    return { depth, module, rows, states, sequences };
  }

  /** One token behind each sequence's last row. */
  async #sampleLast({ module, rows, states, sequences }: DraftPass): Promise<number[]> {
    const { kernels, model } = this.#options;
    const lastRows = sequences.map(({ ids }, i) => at(rows.firstRows, i) + ids.length - 1);
    const logits = logitsOfRows(this.#context, model, { states, rows: this.#integers(lastRows) });
    const values = new LogitRows(await kernels.read(logits), logits);
    return sequences.map(({ request, ids, firstPosition }) => {
      const position = firstPosition + ids.length - 1;
      return sampleToken(values.next(), request.sampling, position + module + 1);
    });
  }

  /** The sequences that want another draft, and the rows that it continues. */
  #goOn(
    { depth, rows, sequences }: DraftPass,
    sampled: readonly number[],
  ): { sequence: DraftSequence; rows: readonly number[] }[] {
    const isLastModule = depth >= this.#options.model.mtp.length;
    const { blockSize, maxPositions } = this.#options;
    return sequences.flatMap((sequence, i) => {
      const { request, ids, firstPosition, blocks } = sequence;
      if (request.numDrafts <= depth) return [];
      const first = at(rows.firstRows, i);
      const draft = at(sampled, i);
      if (isLastModule) {
        const position = firstPosition + ids.length;
        if (position >= Math.min(blocks.length * blockSize, maxPositions)) return [];
        const next = { ...sequence, ids: [draft], firstPosition: position };
        return [{ sequence: next, rows: [first + ids.length - 1] }];
      }
      if (!this.#isCovered(request.sequenceId, { depth: depth + 1, tokens: sequence })) return [];
      const next = { ...sequence, ids: [...ids.slice(1), draft] };
      return [{ sequence: next, rows: ids.map((_, row) => first + row) }];
    });
  }

  #upload(sequences: readonly SequenceRows[]): ServingRows {
    const { kernels, model, maxPositions } = this.#options;
    const { vocabSize } = model.shared.config;
    const arena = this.#arena;
    const caches = this.#caches;
    return uploadServingRows({ kernels, arena, sequences, caches, vocabSize, maxPositions });
  }

  #integers(values: readonly number[]): I32 {
    const tensor = this.#arena.allocate('i32', [values.length]);
    this.#options.kernels.write(tensor, Int32Array.from(values));
    return tensor;
  }
}

/** A sequence that a module continues: the ids are its second inputs. */
interface DraftSequence extends SequenceRows {
  readonly request: SampleRequest;
}

interface DraftPass {
  /** How many drafts deep: 1 for the first. */
  readonly depth: number;
  /** The module that ran; the last one again where there are fewer than `depth`. */
  readonly module: number;
  readonly rows: ServingRows;
  readonly states: States;
  readonly sequences: readonly DraftSequence[];
}

/** Logits on the host, handed out row by row. */
class LogitRows {
  readonly #values: Float32Array;
  readonly #width: number;
  #next = 0;

  constructor(values: Float32Array, tensor: F32) {
    this.#values = values;
    this.#width = numColumns(tensor);
  }

  next(): Float32Array {
    const start = this.#next;
    this.#next += this.#width;
    return this.#values.subarray(start, this.#next);
  }
}
