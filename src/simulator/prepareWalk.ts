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
import { MoebiusError } from '../base/errors.ts';
import { describeInstruction } from '../program/describeInstruction.ts';
import type { Program, TrainingInstruction } from '../program/instruction.ts';

export const COMPUTE = 0;
export const SEND = 1;
export const RECEIVE = 2;
/** Waits for all ranks, as a sum over them does. */
export const MEET = 3;

export interface PreparedWalk {
  readonly programs: readonly Program<TrainingInstruction>[];
  /** Instructions of program i lie at `firsts[i]` … `firsts[i + 1] − 1`. */
  readonly firsts: Int32Array;
  readonly opcodes: Uint8Array;
  /** Of sends and receives; else −1. */
  readonly messages: Int32Array;
  readonly numMessages: number;
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
  const firsts = new Int32Array(programs.length + 1);
  for (const [index, { instructions }] of programs.entries()) {
    firsts[index + 1] = at(firsts, index) + instructions.length;
  }
  const size = at(firsts, programs.length);
  const opcodes = new Uint8Array(size);
  const prices = new Int32Array(size).fill(-1);
  const examples: PricedInstruction[] = [];
  const numbers = new Map<number, number>();
  const measures = measuresOf(programs);
  for (const [index, { rank, instructions }] of programs.entries()) {
    const first = at(firsts, index);
    numbers.clear();
    for (const [offset, instruction] of instructions.entries()) {
      opcodes[first + offset] = opcodeOf(instruction);
      if (instruction.kind === 'recv') continue;
      const key = priced === 'byKind' ? priceKey(instruction, measures) : offset;
      let number = numbers.get(key);
      if (number === undefined) {
        number = examples.length;
        numbers.set(key, number);
        examples.push({ rank, instruction });
      }
      prices[first + offset] = number;
    }
  }
  return { programs, firsts, opcodes, prices, examples, ...numberMessages(programs, measures) };
}

function opcodeOf({ kind }: TrainingInstruction): number {
  if (kind === 'send') return SEND;
  if (kind === 'recv') return RECEIVE;
  return kind === 'reduceGradients' ? MEET : COMPUTE;
}

/** One more than the largest of each number that keys are made of. */
interface Measures {
  readonly ranks: number;
  readonly stages: number;
  readonly microBatches: number;
}

function measuresOf(programs: readonly Program<TrainingInstruction>[]): Measures {
  let ranks = 0;
  let stages = 0;
  let microBatches = 0;
  for (const { rank, instructions } of programs) {
    ranks = Math.max(ranks, rank + 1);
    for (const instruction of instructions) {
      if ('stage' in instruction) {
        stages = Math.max(stages, instruction.stage + 1);
        microBatches = Math.max(microBatches, instruction.microBatch + 1);
        if ('peer' in instruction) ranks = Math.max(ranks, instruction.peer + 1);
      } else if (instruction.kind === 'forwardBackward') {
        stages = Math.max(stages, instruction.forward.stage + 1, instruction.backward.stage + 1);
      }
    }
  }
  return { ranks, stages, microBatches };
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
function priceKey(instruction: TrainingInstruction, { stages, ranks }: Measures): number {
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

function numberMessages(
  programs: readonly Program<TrainingInstruction>[],
  { ranks, stages, microBatches }: Measures,
): { messages: Int32Array; numMessages: number } {
  const size = programs.reduce((sum, { instructions }) => sum + instructions.length, 0);
  const messages = new Int32Array(size).fill(-1);
  // A number is open (its other half is to come) until both halves have it.
  const open = new Map<number, { readonly number: number; readonly kind: 'send' | 'recv' }>();
  const closed = new Set<number>();
  let numMessages = 0;
  let place = -1;
  for (const [program, { rank, instructions }] of programs.entries()) {
    for (const [index, instruction] of instructions.entries()) {
      place++;
      const { kind } = instruction;
      if (kind !== 'send' && kind !== 'recv') continue;
      const { peer, stage, microBatch, content } = instruction;
      const [from, to] = kind === 'send' ? [rank, peer] : [peer, rank];
      const half = content === 'activation' ? 0 : 1;
      const key = (((from * ranks + to) * 2 + half) * stages + stage) * microBatches + microBatch;
      const other = open.get(key);
      if (other?.kind === kind || closed.has(key)) {
        refuseMessage(programs, { program, index }, 'is there twice');
      }
      if (other === undefined) {
        open.set(key, { number: numMessages, kind });
        messages[place] = numMessages++;
      } else {
        open.delete(key);
        closed.add(key);
        messages[place] = other.number;
      }
    }
  }
  const lonely = open.values().next().value;
  if (lonely !== undefined) {
    const found = messages.indexOf(lonely.number);
    let program = 0;
    let index = found;
    while (index >= at(programs, program).instructions.length) {
      index -= at(programs, program).instructions.length;
      program++;
    }
    const missing = lonely.kind === 'send' ? 'is never received' : 'is never sent';
    refuseMessage(programs, { program, index }, missing);
  }
  return { messages, numMessages };
}

function refuseMessage(
  programs: readonly Program<TrainingInstruction>[],
  place: { readonly program: number; readonly index: number },
  what: string,
): never {
  const { rank, instructions } = at(programs, place.program);
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
