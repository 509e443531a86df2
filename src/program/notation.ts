/**
 * Pipeline actions as text: stage, letter, micro-batch, as PyTorch's pipelining writes them.
 *
 *     0F3  forward of stage 0, micro-batch 3        2I1  its backward's input half
 *     1B2  whole backward                           2W1  its weight gradient
 *     (0F3;1B2)OVERLAP_F_B   a forward overlapped with a whole backward
 *
 * A rank is its actions with spaces between. As CSV, a row is a rank and a cell an action: the
 * "compute only" format that `torch.distributed.pipelining` loads (`_PipelineScheduleRuntime`,
 * `_load_csv`) and TorchTitan's `pipeline_parallel_schedule_csv` names; that runtime adds sends and
 * receives itself. Pairs in it need PyTorch 2.10; `pairs: 'apart'` writes them one after the other.
 */
import { MoebiusError } from '../base/errors.ts';
import { backwardOf, forwardOf, type PipelineAction, type PipelinePass } from './pipelineAction.ts';

export function formatAction(action: PipelineAction): string {
  switch (action.kind) {
    case 'forward':
      return formatPass(action, 'F');
    case 'backward':
      return formatPass(action, 'B');
    case 'backwardInput':
      return formatPass(action, 'I');
    case 'backwardWeight':
      return formatPass(action, 'W');
    case 'forwardBackward':
      return `(${formatPass(action.forward, 'F')};${formatPass(action.backward, 'B')})OVERLAP_F_B`;
    default:
      return action satisfies never;
  }
}

export function formatActions(actions: readonly PipelineAction[]): string {
  return actions.map(formatAction).join(' ');
}

/**
 * When messages are posted (`MessageTiming`) is not part of the notation and is lost.
 *
 * @throws program.notation naming the word that is no action, and where
 */
export function parseActions(text: string): readonly PipelineAction[] {
  const words = text.split(/\s+/).filter((word) => word !== '');
  return words.map((word, index) => parseAction(word, `word ${index + 1}`));
}

export interface ScheduleCsvOptions {
  /** `apart`: a pair becomes its forward and then its backward, for readers that know no pairs. */
  readonly pairs: 'together' | 'apart';
}

/**
 * @throws program.notation where a stage lies on two ranks, as in DualPipe: the format has one each
 */
export function formatScheduleCsv(
  ranks: readonly (readonly PipelineAction[])[],
  { pairs }: ScheduleCsvOptions,
): string {
  requireOneRankPerStage(ranks);
  const rows = ranks.map((actions) => {
    const cells = pairs === 'together' ? actions : actions.flatMap(takeApart);
    return cells.map(formatAction).join(',');
  });
  return `${rows.join('\n')}\n`;
}

/** Empty cells, which some writers put for idle slots, are skipped. */
export function parseScheduleCsv(text: string): readonly (readonly PipelineAction[])[] {
  const rows = text.replace(/\r?\n$/, '').split(/\r?\n/);
  return rows.map((row, rank) =>
    row
      .split(',')
      .map((cell, column) => ({ cell: cell.trim().replace(/^"(.*)"$/, '$1'), column }))
      .filter(({ cell }) => cell !== '')
      .map(({ cell, column }) => parseAction(cell, `row ${rank + 1}, column ${column + 1}`)),
  );
}

function formatPass({ stage, microBatch }: PipelinePass, letter: string): string {
  return `${stage}${letter}${microBatch}`;
}

function takeApart(action: PipelineAction): PipelineAction[] {
  if (action.kind !== 'forwardBackward') return [action];
  return [
    { kind: 'forward', ...action.forward },
    { kind: 'backward', ...action.backward },
  ];
}

const PASS = /^(\d+)([FBIW])(\d+)$/;
const PAIR = /^\((\d+F\d+);(\d+B\d+)\)OVERLAP_F_B$/;

const kinds = {
  F: 'forward',
  B: 'backward',
  I: 'backwardInput',
  W: 'backwardWeight',
} as const;

function parseAction(word: string, where: string): PipelineAction {
  const [, first, second] = PAIR.exec(word) ?? [];
  if (first !== undefined && second !== undefined) {
    const forward = parsePass(first, where);
    const backward = parsePass(second, where);
    return { kind: 'forwardBackward', forward: passOf(forward), backward: passOf(backward) };
  }
  return parsePass(word, where);
}

type OnePass = Exclude<PipelineAction, { kind: 'forwardBackward' }>;

function parsePass(word: string, where: string): OnePass {
  const [, stage, letter, microBatch] = PASS.exec(word) ?? [];
  if (stage === undefined || letter === undefined || microBatch === undefined) {
    throw new MoebiusError('program.notation', `${where}: "${word}" is no action`, {
      values: { where, word },
      hint: hintFor(word),
    });
  }
  const pass = { stage: Number(stage), microBatch: Number(microBatch) };
  for (const [name, value] of Object.entries(pass)) {
    if (Number.isSafeInteger(value)) continue;
    throw new MoebiusError('program.notation', `${where}: ${name} of "${word}" is too large`, {
      values: { where, word },
      hint: 'Number stages and micro-batches from 0.',
    });
  }
  return { kind: kinds[letter as keyof typeof kinds], ...pass };
}

function hintFor(word: string): string {
  if (/(SEND|RECV)_[FB]|SHARD|REDUCE_GRAD/.test(word)) {
    return 'Export the schedule as compute only: messages and shards are added when it is loaded.';
  }
  if (/^\(/.test(word)) return 'Write a pair as (0F3;1B2)OVERLAP_F_B: a forward, then a backward.';
  return 'Write stage, F, B, I or W, and micro-batch: 0F3.';
}

function passOf({ stage, microBatch }: PipelinePass): PipelinePass {
  return { stage, microBatch };
}

function requireOneRankPerStage(ranks: readonly (readonly PipelineAction[])[]): void {
  const home = new Map<number, number>();
  for (const [rank, actions] of ranks.entries()) {
    for (const action of actions) {
      for (const pass of [forwardOf(action), backwardOf(action)]) {
        if (pass === null) continue;
        const other = home.get(pass.stage) ?? rank;
        home.set(pass.stage, other);
        if (other === rank) continue;
        throw new MoebiusError(
          'program.notation',
          `stage ${pass.stage} lies on ranks ${other} and ${rank}; the CSV has one rank per stage`,
          {
            values: { stage: pass.stage, ranks: [other, rank] },
            hint: 'Use dualpipev: the same schedule with every stage once.',
          },
        );
      }
    }
  }
}
