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
import { AssertionError, assert, at } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import { oneRank } from '../kernels/collectives.ts';
import { type I32, type Kernels, MAX_DECODE_ROWS, type SamplingRule } from '../kernels/kernels.ts';
import type { CacheDType } from '../kernels/latentCache.ts';
import type { StepContext } from '../model/context.ts';
import { decodeGroups, numRowsOf, runDecodeGroups, tiledKernels } from '../model/decodeGroups.ts';
import { type DecodePass, DecodePasses, type WantedRows } from '../model/decodePasses.ts';
import { draftRows, logitsOfRows, runRows, type States, statesOfRows } from '../model/inference.ts';
import { createRoutingCounts, type Model, zeroCounts } from '../model/model.ts';
import { type SampledRows, sampleRows } from '../model/sampler.ts';
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
  SampleRequest,
  SequenceTokens,
  ServingInstruction,
  ServingOutcome,
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
  /** Per sequence and module: positions its cache holds, from 0 without a gap. */
  readonly #covered = new Map<number, number[]>();

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
  }

  async run(programs: readonly Program<ServingInstruction>[]): Promise<RunResult<ServingOutcome>> {
    const { clock } = this.#options;
    const { instructions } = onlyProgram(programs);
    const spans: Span[] = [];
    const outcomes: ServingOutcome[] = [];
    for (let index = 0; index < instructions.length; index++) {
      const instruction = at(instructions, index);
      const start = clock.now();
      await this.#do(instruction, outcomes);
      const end = clock.now();
      spans.push({ rank: 0, name: instruction.kind, instruction: index, start, end });
    }
    return { spans, outcomes };
  }

  async #do(instruction: ServingInstruction, outcomes: ServingOutcome[]): Promise<void> {
    switch (instruction.kind) {
      case 'prefill':
        return this.#prefill(instruction.sequences);
      case 'decode':
        return this.#decode(instruction.sequences);
      case 'sample':
        return this.#sample(instruction.sequences, outcomes);
      case 'fillDrafts':
        return this.#fillDrafts(instruction.sequences);
      case 'forget':
        for (const sequenceId of instruction.sequenceIds) this.#covered.delete(sequenceId);
        return;
      case 'reportExperts':
        outcomes.push(await this.#expertLoads());
        if (instruction.then === 'reset') {
          zeroCounts(this.#options.kernels, this.#context.counts);
        }
        return;
      default:
        instruction satisfies never;
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
    for (let i = 0; i < sequences.length; i++) this.#begin(at(sequences, i));
  }

  /** A sequence begins at position 0, or behind blocks that another one filled. */
  #begin({ sequenceId, firstPosition, draftedPositions = 0 }: SequenceTokens): void {
    if (firstPosition > 0 && this.#covered.has(sequenceId)) return;
    const drafted = Math.min(draftedPositions, firstPosition);
    this.#covered.set(
      sequenceId,
      this.#options.model.mtp.map(() => drafted),
    );
  }

  async #expertLoads(): Promise<ExpertLoadsOutcome> {
    const { layers, all } = this.#context.counts;
    const counts = all === null ? null : await this.#options.kernels.read(all);
    const width = all === null ? 0 : numColumns(all);
    return {
      kind: 'expertLoads',
      layers: layers.map((layer, i) => ({
        layer,
        tokensPerExpert: [...(counts?.subarray(i * width, (i + 1) * width) ?? [])],
      })),
    };
  }

  /** Module k continues the module before it, with the known tokens k places on. */
  #fillDrafts(wanted: Extract<ServingInstruction, { kind: 'fillDrafts' }>['sequences']): void {
    const last = this.#last;
    assert(last !== null, 'drafts are filled after a pass');
    let from = last.states;
    let chunks = wanted.map(({ sequenceId, nextIds }) => {
      const { firstRow, tokens } = placedOf(last, { sequenceId, positions: 1 });
      const { ids, firstPosition, blocks } = tokens;
      return { sequenceId, nextIds, all: ids, firstPosition, blocks, firstState: firstRow };
    });
    for (let depth = 1; depth <= this.#options.model.mtp.length; depth++) {
      chunks = chunks.filter(({ sequenceId, firstPosition }) =>
        this.#isCovered(sequenceId, { depth, tokens: { firstPosition } }),
      );
      if (chunks.length === 0) return;
      const sequences = chunks
        .map((chunk) => ({
          ...chunk,
          ids: [...chunk.all.slice(depth), ...chunk.nextIds.slice(0, depth)],
        }))
        .toSorted((a, b) => Math.sign(a.firstPosition) - Math.sign(b.firstPosition));
      const pass = this.#runModule({ depth, sequences, states: from });
      from = pass.states;
      chunks = sequences.map((chunk, i) => ({ ...chunk, firstState: at(pass.rows.firstRows, i) }));
    }
  }

  /**
   * One hop to the host for all sequences, and one more for every draft that is wanted.
   *
   * Plain loops: whatever is called between two tokens comes from memory.
   */
  async #sample(requests: readonly SampleRequest[], outcomes: ServingOutcome[]): Promise<void> {
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
    const wanted: WantedRows = { chosen, rules, positions };
    const rows = await (last.decode?.sample(wanted) ?? this.#sampleRows(last.states, wanted));
    const drafting: DraftSequence[] = [];
    let next = 0;
    for (let r = 0; r < requests.length; r++) {
      const request = at(requests, r);
      const { sequenceId } = request;
      const sampled: number[] = [];
      const logProbabilities: number[] = [];
      for (const end = next + request.positions; next < end; next++) {
        sampled.push(at(rows.ids, next));
        logProbabilities.push(at(rows.logProbabilities, next));
      }
      const drafts: number[] = [];
      outcomes.push({ kind: 'tokens', sequenceId, sampled, logProbabilities, drafts });
      if (request.numDrafts === 0) continue;
      const { firstRow, tokens } = placedOf(last, request);
      if (!this.#isCovered(sequenceId, { depth: 1, tokens })) continue;
      const first = tokens.ids.length - request.positions;
      const accepted = acceptDrafts(tokens.ids.slice(first + 1), sampled);
      const { firstPosition, blocks } = tokens;
      const ids = [...tokens.ids.slice(1, first + 1), ...accepted.tokens];
      drafting.push({
        request,
        sequenceId,
        drafts,
        ids,
        firstPosition,
        blocks,
        firstState: firstRow,
      });
    }
    if (drafting.length > 0) await this.#draft(drafting, last.states);
  }

  /** Adds to the drafts of every one of the sequences, whose module caches have no gap. */
  async #draft(drafting: readonly DraftSequence[], states: States): Promise<void> {
    // Prompts first: the order in which rows are laid out.
    let sequences: readonly DraftSequence[] = drafting.toSorted(
      (a, b) => Math.sign(a.firstPosition) - Math.sign(b.firstPosition),
    );
    let from = states;
    for (let depth = 1; sequences.length > 0; depth++) {
      const pass = this.#runModule({ depth, sequences, states: from });
      const sampled = await this.#sampleLast(pass);
      for (const [i, { drafts }] of sequences.entries()) drafts.push(at(sampled, i));
      sequences = this.#goOn(pass, sampled);
      from = pass.states;
    }
  }

  /** Whether a module's cache holds every position before the pass; without one it never does. */
  #isCovered(
    sequenceId: number,
    { depth, tokens }: { depth: number; tokens: { readonly firstPosition: number } },
  ): boolean {
    const covered = this.#covered.get(sequenceId)?.[depth - 1];
    return covered === tokens.firstPosition;
  }

  #runModule<S extends ModuleSequence>(args: {
    depth: number;
    sequences: readonly S[];
    states: States;
  }): DraftPass<S> {
    const { depth, sequences } = args;
    const module = Math.min(depth, this.#options.model.mtp.length);
    const rows = this.#upload(sequences);
    const continued = new Array<number>(rows.count).fill(0);
    for (const [s, { ids, firstState }] of sequences.entries()) {
      const first = at(rows.firstRows, s);
      for (let i = 0; i < ids.length; i++) continued[first + i] = firstState + i;
    }
    const states = draftRows(this.#context, this.#options.model, {
      depth: module,
      previous: statesOfRows(this.#context, args.states, this.#integers(continued)),
      rows,
      caches: this.#caches,
    });
    if (module === depth) {
      for (const { sequenceId, firstPosition, ids } of sequences) {
        const covered = this.#covered.get(sequenceId);
        if (covered !== undefined) covered[module - 1] = firstPosition + ids.length;
      }
    }
    return { depth, module, rows, states, sequences };
  }

  /** One token behind each sequence's last row. */
  async #sampleLast(pass: DraftPass<DraftSequence>): Promise<Int32Array> {
    const { module, rows, states, sequences } = pass;
    const chosen = sequences.map(({ ids }, i) => at(rows.firstRows, i) + ids.length - 1);
    const rules = sequences.map(({ request }) => request.sampling);
    const positions = sequences.map(
      ({ ids, firstPosition }) => firstPosition + ids.length + module,
    );
    const { ids } = await this.#sampleRows(states, { chosen, rules, positions });
    return ids;
  }

  /** The sequences that want another draft. */
  #goOn(
    { depth, rows, sequences }: DraftPass<DraftSequence>,
    sampled: Int32Array,
  ): DraftSequence[] {
    const isLastModule = depth >= this.#options.model.mtp.length;
    const { blockSize, maxPositions } = this.#options;
    const next: DraftSequence[] = [];
    for (const [i, sequence] of sequences.entries()) {
      const { request, ids, firstPosition, blocks } = sequence;
      if (request.numDrafts <= depth) continue;
      const first = at(rows.firstRows, i);
      const draft = at(sampled, i);
      if (isLastModule) {
        const position = firstPosition + ids.length;
        if (position >= Math.min(blocks.length * blockSize, maxPositions)) continue;
        const firstState = first + ids.length - 1;
        next.push({ ...sequence, ids: [draft], firstPosition: position, firstState });
      } else if (this.#isCovered(request.sequenceId, { depth: depth + 1, tokens: sequence })) {
        next.push({ ...sequence, ids: [...ids.slice(1), draft], firstState: first });
      }
    }
    return next;
  }

  /** Tokens behind chosen rows of some states. */
  #sampleRows(states: States, { chosen, rules, positions }: WantedRows): Promise<SampledRows> {
    const rows = this.#integers(chosen);
    const logits = logitsOfRows(this.#context, this.#options.model, { states, rows });
    return sampleRows(this.#context, { logits, rules, positions });
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

/** A sequence that a module continues: the ids are its second inputs. */
interface ModuleSequence extends SequenceRows {
  readonly sequenceId: number;
  /** The row of the states before that its first id continues; the others follow it. */
  readonly firstState: number;
}

/** One that gets drafts. */
interface DraftSequence extends ModuleSequence {
  readonly request: SampleRequest;
  /** Of its outcome. */
  readonly drafts: number[];
}

interface DraftPass<S extends ModuleSequence> {
  /** How many drafts deep: 1 for the first. */
  readonly depth: number;
  /** The module that ran; the last one again where there are fewer than `depth`. */
  readonly module: number;
  readonly rows: ServingRows;
  readonly states: States;
  readonly sequences: readonly S[];
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
