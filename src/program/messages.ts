/**
 * Which send belongs to which receive. A message is known by its sender, its receiver, its content,
 * stage and micro-batch; both of its halves get the same number, from 0 on, so that whoever walks
 * programs keeps messages in arrays.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { describeInstruction } from './describeInstruction.ts';
import type { Program, TrainingInstruction } from './instruction.ts';

export interface MatchedMessages {
  /**
   * Instructions of program i lie at `firsts[i]` … `firsts[i + 1] − 1` of what is numbered here.
   */
  readonly firsts: Int32Array;
  /** Per instruction the number of its message, −1 where it is none. */
  readonly messages: Int32Array;
  readonly numMessages: number;
}

/** One more than the largest of each number that names a pass or a message. */
export interface ProgramBounds {
  readonly ranks: number;
  readonly stages: number;
  readonly microBatches: number;
}

export function programBounds(programs: readonly Program<TrainingInstruction>[]): ProgramBounds {
  let ranks = 0;
  let stages = 0;
  let microBatches = 0;
  for (const { rank, instructions } of programs) {
    ranks = Math.max(ranks, rank + 1);
    for (const instruction of instructions) {
      if (instruction.kind === 'forwardBackward') {
        const { forward, backward } = instruction;
        stages = Math.max(stages, forward.stage + 1, backward.stage + 1);
        microBatches = Math.max(microBatches, forward.microBatch + 1, backward.microBatch + 1);
      } else if ('stage' in instruction) {
        stages = Math.max(stages, instruction.stage + 1);
        microBatches = Math.max(microBatches, instruction.microBatch + 1);
        if ('peer' in instruction) ranks = Math.max(ranks, instruction.peer + 1);
      }
    }
  }
  return { ranks, stages, microBatches };
}

/** @throws program.message for a send without its receive, the other way round, or a repetition */
export function matchMessages(
  programs: readonly Program<TrainingInstruction>[],
  { ranks, stages, microBatches }: ProgramBounds = programBounds(programs),
): MatchedMessages {
  const firsts = new Int32Array(programs.length + 1);
  for (const [position, { instructions }] of programs.entries()) {
    firsts[position + 1] = at(firsts, position) + instructions.length;
  }
  const messages = new Int32Array(at(firsts, programs.length)).fill(-1);
  const seen = new Map<number, number>();
  // Per message what it still lacks: 1 a send, 2 a receive, 0 nothing.
  const lacks: number[] = [];
  let place = -1;
  for (const [position, { rank, instructions }] of programs.entries()) {
    for (const instruction of instructions) {
      place++;
      const { kind } = instruction;
      if (kind !== 'send' && kind !== 'recv') continue;
      const { peer, stage, microBatch, content } = instruction;
      const from = kind === 'send' ? rank : peer;
      const to = kind === 'send' ? peer : rank;
      const what =
        ((content === 'activation' ? 0 : 1) * stages + stage) * microBatches + microBatch;
      const key = (from * ranks + to) * 2 * stages * microBatches + what;
      const mine = kind === 'send' ? 1 : 2;
      const number = seen.get(key);
      if (number === undefined) {
        messages[place] = lacks.length;
        seen.set(key, lacks.length);
        lacks.push(3 - mine);
      } else if (lacks[number] === mine) {
        messages[place] = number;
        lacks[number] = 0;
      } else {
        refuse(programs, { position, index: place - at(firsts, position) }, 'is there twice');
      }
    }
  }
  const lonely = lacks.findIndex((lack) => lack !== 0);
  if (lonely >= 0) {
    const found = messages.indexOf(lonely);
    const position = firsts.findLastIndex((first) => first <= found);
    const missing = lacks[lonely] === 1 ? 'is never sent' : 'is never received';
    refuse(programs, { position, index: found - at(firsts, position) }, missing);
  }
  return { firsts, messages, numMessages: lacks.length };
}

function refuse(
  programs: readonly Program<TrainingInstruction>[],
  place: { readonly position: number; readonly index: number },
  what: string,
): never {
  const { rank, instructions } = at(programs, place.position);
  const instruction = describeInstruction(at(instructions, place.index));
  throw new MoebiusError(
    'program.message',
    `rank ${rank}, instruction ${place.index}: ${instruction} ${what}`,
    {
      values: { rank, index: place.index, instruction },
      hint: 'Give every send one receive on the rank it names, and every receive one send.',
    },
  );
}
