/**
 * Why programs that stand still stand still: a ring of ranks, each at a receive whose send lies
 * behind the wait of the next. Whoever walks programs and gets stuck asks for this refusal.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { describeInstruction } from './describeInstruction.ts';
import type { Program, TrainingInstruction } from './instruction.ts';

/**
 * @param stopped per program the index of the instruction it waits at, or its length at its end
 * @throws program.deadlock naming every wait of the ring
 */
export function refuseDeadlock(
  programs: readonly Program<TrainingInstruction>[],
  stopped: ArrayLike<number>,
): never {
  const positions = new Map(programs.map(({ rank }, position) => [rank, position]));
  const waitOf = (position: number): TrainingInstruction | undefined =>
    at(programs, position).instructions[at(stopped, position)];
  const waiting = [...programs.keys()].filter((position) => waitOf(position) !== undefined);
  // A rank at a receive leads to its sender; one that waits for all, to a rank that is elsewhere.
  const isAtReceive = (position: number): boolean => waitOf(position)?.kind === 'recv';
  const elsewhere =
    waiting.find(isAtReceive) ?? programs.findIndex((_, position) => !waiting.includes(position));
  const path: number[] = [];
  let position = waiting.find(isAtReceive) ?? at(waiting, 0);
  while (!path.includes(position)) {
    path.push(position);
    const wait = waitOf(position);
    if (wait === undefined) break;
    position = wait.kind === 'recv' ? (positions.get(wait.peer) ?? position) : elsewhere;
  }
  const isRing = waitOf(position) !== undefined;
  const ring = isRing ? path.slice(path.indexOf(position)) : path;
  const waits = ring.map((each) => {
    const { rank } = at(programs, each);
    const wait = waitOf(each);
    const words = wait === undefined ? 'its program has ended' : describeInstruction(wait);
    return { rank, index: at(stopped, each), instruction: words };
  });
  const words = waits.map(
    ({ rank, index, instruction }) => `rank ${rank}, instruction ${index}: ${instruction}`,
  );
  throw new MoebiusError(
    'program.deadlock',
    `these ranks wait for each other for ever: ${words.join('; ')}`,
    {
      values: { waits },
      hint: 'Move a send of one of these ranks before the receive it waits at.',
    },
  );
}
