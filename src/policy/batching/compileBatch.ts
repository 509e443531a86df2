/**
 * A batch as a program: prompts and what is sampled behind them, then decoded rows and theirs.
 *
 *     forget · prefill · fillDrafts · sample · decode · sample
 *
 * Each pass is followed at once by what reads its states, since an executor keeps the last only.
 */
import type {
  LogitAdjustment,
  Sampling,
  SequenceTokens,
  ServingInstruction,
} from '../../program/instruction.ts';
import type { BatchPlan, Chunk } from './batchScheduler.ts';

/** What a program needs to know of a sequence. */
export interface BatchedSequence {
  readonly ids: readonly number[];
  readonly blocks: readonly number[];
  readonly sampling: Sampling;
  /** Drafts wanted behind this step's last accepted token. */
  readonly numDrafts: number;
  /** Whether the MTP modules go along: with drafts, and while its prompt is run. */
  readonly isDrafted: boolean;
  /** One per sampled position. */
  readonly adjustments: readonly (LogitAdjustment | null)[] | null;
  readonly numTop: number;
  readonly probabilitiesOf: 'model' | 'sampler';
}

type Lookup = (sequenceId: number) => BatchedSequence;
type Sample = Extract<ServingInstruction, { kind: 'sample' }>['sequences'][number];

/** @param numMtpModules each wants the token one place further on */
export function compileBatch(
  plan: BatchPlan,
  args: { sequenceOf: Lookup; forgotten: readonly number[]; numMtpModules: number },
): ServingInstruction[] {
  const { sequenceOf, forgotten, numMtpModules } = args;
  const instructions: ServingInstruction[] = [];
  const gone = [...forgotten, ...plan.preempted];
  if (gone.length > 0) instructions.push({ kind: 'forget', sequenceIds: gone });
  const drafted = new Map(plan.admitted.map((each) => [each.sequenceId, each.draftedPositions]));
  const chunkRows = (chunk: Chunk): SequenceTokens => {
    const { sequenceId, first, count } = chunk;
    const { ids, blocks } = sequenceOf(sequenceId);
    const rows = { sequenceId, ids: ids.slice(first, first + count), firstPosition: first };
    const draftedPositions = drafted.get(sequenceId);
    if (draftedPositions === undefined) return { ...rows, blocks: [...blocks] };
    return { ...rows, blocks: [...blocks], draftedPositions };
  };
  const prompts = plan.chunks.filter(({ form }) => form === 'prompt');
  const again = plan.chunks.filter(({ form }) => form === 'decoded');
  if (prompts.length > 0) {
    instructions.push({ kind: 'prefill', sequences: prompts.map(chunkRows) });
    instructions.push(...behindChunks(prompts, { sequenceOf, numMtpModules }));
  }
  const decoded: SequenceTokens[] = plan.decodes.map(({ sequenceId, drafts }) => {
    const { ids, blocks } = sequenceOf(sequenceId);
    const firstPosition = ids.length - 1;
    const last = ids.slice(firstPosition);
    return { sequenceId, ids: [...last, ...drafts], firstPosition, blocks: [...blocks] };
  });
  if (decoded.length + again.length === 0) return instructions;
  instructions.push({ kind: 'decode', sequences: [...decoded, ...again.map(chunkRows)] });
  const samples = plan.decodes.map(({ sequenceId, drafts }) =>
    sampleOf(sequenceId, sequenceOf(sequenceId), drafts.length + 1),
  );
  const behind = behindChunks(again, { sequenceOf, numMtpModules });
  for (const instruction of behind) {
    if (instruction.kind === 'sample') samples.push(...instruction.sequences);
    else instructions.push(instruction);
  }
  if (samples.length > 0) instructions.push({ kind: 'sample', sequences: samples });
  return instructions;
}

function behindChunks(
  chunks: readonly Chunk[],
  { sequenceOf, numMtpModules }: { sequenceOf: Lookup; numMtpModules: number },
): ServingInstruction[] {
  const fills: { sequenceId: number; nextIds: readonly number[] }[] = [];
  const samples: Sample[] = [];
  for (const { sequenceId, first, count, isLast } of chunks) {
    const sequence = sequenceOf(sequenceId);
    if (isLast) {
      samples.push(sampleOf(sequenceId, sequence, 1));
    } else if (sequence.isDrafted) {
      const end = first + count;
      const nextIds = sequence.ids.slice(end, end + numMtpModules);
      if (nextIds.length === numMtpModules) fills.push({ sequenceId, nextIds });
    }
  }
  const instructions: ServingInstruction[] = [];
  if (fills.length > 0) instructions.push({ kind: 'fillDrafts', sequences: fills });
  if (samples.length > 0) instructions.push({ kind: 'sample', sequences: samples });
  return instructions;
}

function sampleOf(sequenceId: number, sequence: BatchedSequence, positions: number): Sample {
  const { sampling, numDrafts, adjustments, numTop, probabilitiesOf } = sequence;
  return {
    ...{ sequenceId, positions, sampling, numDrafts },
    ...(adjustments === null ? {} : { adjustments }),
    ...(numTop === 0 ? {} : { numTop }),
    ...(probabilitiesOf === 'model' ? {} : { probabilitiesOf }),
  };
}
