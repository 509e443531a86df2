/**
 * Programs as numbers, once, so that walking them again costs no look-up: every instruction becomes
 * an opcode, the number of its message, and the number of its price.
 *
 * A message is known by who sends it to whom, its content, stage and micro-batch; its send and its
 * receive get the same number. Instructions of one rank that differ only in their micro-batch have
 * one price, and messages between the same ranks too, unless every instruction is asked for its
 * own.
 */
import { at } from '../base/assert.ts';
import type { Program, TrainingInstruction } from '../program/instruction.ts';
import {
  type MatchedMessages,
  matchMessages,
  type ProgramBounds,
  programBounds,
} from '../program/messages.ts';

export const COMPUTE = 0;
export const SEND = 1;
export const RECEIVE = 2;
/** Waits for all ranks, as a sum over them does. */
export const MEET = 3;

export interface PreparedWalk extends MatchedMessages {
  readonly programs: readonly Program<TrainingInstruction>[];
  readonly opcodes: Uint8Array;
  /** Per instruction the number of its price; receives have none, −1. */
  readonly prices: Int32Array;
  /** Per price an instruction to ask for it. */
  readonly examples: readonly PricedInstruction[];
}

export interface PricedInstruction {
  readonly rank: number;
  readonly instruction: TrainingInstruction;
}

/**
 * @param priced `byKind`: one price for what differs only in its micro-batch; `each`: none shared
 * @throws program.message for a send without its receive, the other way round, or a repetition
 */
export function prepareWalk(
  programs: readonly Program<TrainingInstruction>[],
  priced: 'byKind' | 'each' = 'byKind',
): PreparedWalk {
  const bounds = programBounds(programs);
  const matched = matchMessages(programs, bounds);
  const { firsts } = matched;
  const size = at(firsts, programs.length);
  const opcodes = new Uint8Array(size);
  const prices = new Int32Array(size).fill(-1);
  const examples: PricedInstruction[] = [];
  const numbers = new Map<number, number>();
  for (const [position, { rank, instructions }] of programs.entries()) {
    const first = at(firsts, position);
    numbers.clear();
    for (const [offset, instruction] of instructions.entries()) {
      opcodes[first + offset] = opcodeOf(instruction);
      if (instruction.kind === 'recv') continue;
      const key = priced === 'byKind' ? priceKey(instruction, bounds) : offset;
      let number = numbers.get(key);
      if (number === undefined) {
        number = examples.length;
        numbers.set(key, number);
        examples.push({ rank, instruction });
      }
      prices[first + offset] = number;
    }
  }
  return { programs, opcodes, prices, examples, ...matched };
}

function opcodeOf({ kind }: TrainingInstruction): number {
  if (kind === 'send') return SEND;
  if (kind === 'recv') return RECEIVE;
  return kind === 'reduceGradients' ? MEET : COMPUTE;
}

const KINDS: readonly TrainingInstruction['kind'][] = [
  'loadMicroBatch',
  'forward',
  'backward',
  'backwardInput',
  'backwardWeight',
  'forwardBackward',
  'send',
  'recv',
  'reduceGradients',
  'optimizerStep',
  'updateBias',
  'dropGradients',
  'evaluate',
  'saveShard',
  'loadShard',
  'snapshot',
  'restore',
];
const kindNumbers: ReadonlyMap<string, number> = new Map(KINDS.map((kind, index) => [kind, index]));

/** Within one rank: kind, and then the stages or the receiver. */
function priceKey(instruction: TrainingInstruction, { stages, ranks }: ProgramBounds): number {
  const kind = kindNumbers.get(instruction.kind) ?? 0;
  let what = 0;
  switch (instruction.kind) {
    case 'forward':
    case 'backward':
    case 'backwardInput':
    case 'backwardWeight':
      what = instruction.stage;
      break;
    case 'forwardBackward':
      what = instruction.forward.stage * stages + instruction.backward.stage;
      break;
    case 'send':
      what = instruction.peer * 2 + (instruction.content === 'activation' ? 0 : 1);
      break;
    default:
      break;
  }
  return what + kind * (stages * stages + 2 * ranks + 1);
}
