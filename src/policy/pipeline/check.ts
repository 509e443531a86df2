/**
 * Whether the programs of a pipeline can run and make every gradient once. What is refused names
 * the rank, the instruction and what it lacks:
 *
 *     order        a pass twice; backward before forward; a weight gradient before its input pass
 *     data         a pass before its input was received, a send before its result is there
 *     messages     a send without a receive, a receive without a send
 *     micro-batch  one that is lost: no forward, no backward or no weight gradient in some stage
 *     waits        ranks that wait for each other in a ring
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { refuseDeadlock } from '../../program/deadlock.ts';
import { describeInstruction } from '../../program/describeInstruction.ts';
import type { Program, TrainingInstruction } from '../../program/instruction.ts';
import { type MatchedMessages, matchMessages, programBounds } from '../../program/messages.ts';
import type { PipelinePass } from '../../program/pipelineAction.ts';

export interface PipelineSize {
  readonly numStages: number;
  readonly numMicroBatches: number;
}

/**
 * @param size what the programs are of; from their own numbers by default
 * @throws program.order, program.message, program.deadlock
 */
export function checkPrograms(
  programs: readonly Program<TrainingInstruction>[],
  size?: PipelineSize,
): void {
  const bounds = programBounds(programs);
  const numStages = size?.numStages ?? bounds.stages;
  const numMicroBatches = size?.numMicroBatches ?? bounds.microBatches;
  const book = new PassBook(Math.max(numStages, bounds.stages), {
    numMicroBatches: Math.max(numMicroBatches, bounds.microBatches),
  });
  for (const program of programs) book.follow(program);
  book.requireAll({ numStages, numMicroBatches });
  requireEnd(programs, matchMessages(programs, bounds));
}

// What is known of a pass, and of what is at hand on the rank that is being followed.
const FORWARD = 1;
const BACKWARD = 2;
const WEIGHT = 4;
const ACTIVATION = 8;
const GRADIENT = 16;

/** What has happened to every micro-batch in every stage, and where. */
class PassBook {
  readonly #numStages: number;
  readonly #numMicroBatches: number;
  /** Over all ranks. */
  readonly #done: Uint8Array;
  /** On the rank that is being followed: what it ran, and what it received. */
  readonly #here: Uint8Array;

  constructor(numStages: number, { numMicroBatches }: { readonly numMicroBatches: number }) {
    this.#numStages = numStages;
    this.#numMicroBatches = numMicroBatches;
    this.#done = new Uint8Array(numStages * numMicroBatches);
    this.#here = new Uint8Array(numStages * numMicroBatches);
  }

  follow({ rank, instructions }: Program<TrainingInstruction>): void {
    this.#here.fill(0);
    for (const [index, instruction] of instructions.entries()) {
      const wrong = this.#complaint(instruction);
      if (wrong === null) continue;
      const words = describeInstruction(instruction);
      throw new MoebiusError(
        'program.order',
        `rank ${rank}, instruction ${index}: ${words} ${wrong}`,
        {
          values: { rank, index, instruction: words },
          hint: 'Order each pass: input, forward, gradient, backward, then its weight gradient.',
        },
      );
    }
  }

  /** Notes an instruction, or says what is wrong with it. */
  #complaint(instruction: TrainingInstruction): string | null {
    switch (instruction.kind) {
      case 'forward':
        return this.#forward(instruction);
      case 'backward':
        return this.#backward(instruction) ?? this.#weight(instruction);
      case 'backwardInput':
        return this.#backward(instruction);
      case 'backwardWeight':
        return this.#weight(instruction);
      case 'forwardBackward': {
        // Both run at once, so the backward cannot need this forward.
        const { forward, backward } = instruction;
        return this.#backward(backward) ?? this.#weight(backward) ?? this.#forward(forward);
      }
      case 'send':
        if (instruction.content === 'activation') {
          return this.#hasHere(instruction, FORWARD) ? null : 'goes out before its forward has run';
        }
        return this.#hasHere(instruction, BACKWARD) ? null : 'goes out before its backward has run';
      case 'recv':
        this.#note(instruction, instruction.content === 'activation' ? ACTIVATION : GRADIENT);
        return null;
      default:
        return null;
    }
  }

  #forward(pass: PipelinePass): string | null {
    if (this.#has(pass, FORWARD)) return `runs forward a second time: ${passWords(pass)}`;
    const { stage, microBatch } = pass;
    const input = { stage: stage - 1, microBatch };
    if (stage > 0 && !this.#hasHere(input, FORWARD | ACTIVATION)) {
      return `begins before the activation of stage ${stage - 1} is here`;
    }
    this.#note(pass, FORWARD);
    return null;
  }

  #backward(pass: PipelinePass): string | null {
    if (this.#has(pass, BACKWARD)) return `runs backward a second time: ${passWords(pass)}`;
    if (!this.#hasHere(pass, FORWARD)) return 'runs backward before its forward on this rank';
    const { stage, microBatch } = pass;
    const output = { stage: stage + 1, microBatch };
    if (stage + 1 < this.#numStages && !this.#hasHere(output, BACKWARD | GRADIENT)) {
      return `begins before the gradient of stage ${stage + 1} is here`;
    }
    this.#note(pass, BACKWARD);
    return null;
  }

  #weight(pass: PipelinePass): string | null {
    if (this.#has(pass, WEIGHT)) return `makes a weight gradient twice: ${passWords(pass)}`;
    if (!this.#hasHere(pass, BACKWARD)) return 'makes a weight gradient before its input pass';
    this.#note(pass, WEIGHT);
    return null;
  }

  /** @throws program.order for the first micro-batch that lacks something in some stage */
  requireAll({ numStages, numMicroBatches }: PipelineSize): void {
    for (let stage = 0; stage < numStages; stage++) {
      for (let microBatch = 0; microBatch < numMicroBatches; microBatch++) {
        const pass = { stage, microBatch };
        const lost = NEEDED.find(({ flag }) => !this.#has(pass, flag));
        if (lost === undefined) continue;
        throw new MoebiusError(
          'program.order',
          `no rank runs ${lost.words} of stage ${stage}, micro-batch ${microBatch}`,
          {
            values: { ...pass, lost: lost.words },
            hint: 'Give every micro-batch one forward and one backward in every stage.',
          },
        );
      }
    }
  }

  #place({ stage, microBatch }: PipelinePass): number {
    return stage * this.#numMicroBatches + microBatch;
  }

  #has(pass: PipelinePass, flag: number): boolean {
    return (at(this.#done, this.#place(pass)) & flag) !== 0;
  }

  #hasHere(pass: PipelinePass, flags: number): boolean {
    return (at(this.#here, this.#place(pass)) & flags) !== 0;
  }

  #note(pass: PipelinePass, flag: number): void {
    const place = this.#place(pass);
    this.#here[place] = at(this.#here, place) | flag;
    this.#done[place] = at(this.#done, place) | flag;
  }
}

const NEEDED: readonly { readonly flag: number; readonly words: string }[] = [
  { flag: FORWARD, words: 'the forward' },
  { flag: BACKWARD, words: 'the backward' },
  { flag: WEIGHT, words: 'the weight gradient' },
];

function passWords({ stage, microBatch }: PipelinePass): string {
  return `stage ${stage}, micro-batch ${microBatch}`;
}

/** Walks without times; what cannot end is refused. */
function requireEnd(
  programs: readonly Program<TrainingInstruction>[],
  { firsts, messages, numMessages }: MatchedMessages,
): void {
  const next = new Int32Array(programs.length);
  const isSent = new Uint8Array(numMessages);
  const waiters = new Int32Array(numMessages).fill(-1);
  const ready = [...programs.keys()].reverse();
  const meeting: number[] = [];
  for (let position = ready.pop(); position !== undefined; position = ready.pop()) {
    const { instructions } = at(programs, position);
    const first = at(firsts, position);
    let index = at(next, position);
    for (; index < instructions.length; index++) {
      const { kind } = at(instructions, index);
      const message = at(messages, first + index);
      if (kind === 'send') {
        isSent[message] = 1;
        const waiter = at(waiters, message);
        if (waiter >= 0) ready.push(waiter);
      } else if (kind === 'recv' && at(isSent, message) === 0) {
        waiters[message] = position;
        break;
      } else if (kind === 'reduceGradients' && !meeting.includes(position)) {
        meeting.push(position);
        break;
      }
    }
    next[position] = index;
    if (meeting.length < programs.length) continue;
    for (const each of meeting) next[each] = at(next, each) + 1;
    ready.push(...meeting);
    meeting.length = 0;
  }
  const isEnded = programs.every(
    ({ instructions }, position) => at(next, position) === instructions.length,
  );
  if (!isEnded) refuseDeadlock(programs, next);
}
