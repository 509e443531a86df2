/**
 * Walks the programs of all ranks at once, by one counter per rank, and says when everything
 * happens.
 *
 * A rank runs until it must wait: for a message that nobody has sent yet, or for the others. A send
 * is posted and never waits; the messages of one rank leave one after another, as through one
 * network port. Since no time depends on the order in which ranks are visited, each is visited only
 * when what it waits for has come: the walk is linear in the number of instructions.
 *
 *     rank 0   F0 │ F1 │ F2 │           ░ waiting: the bubble
 *              send└──┐send└──┐
 *     rank 1   ░░░░░  F0 │ B0 │ F1 …    end of a receive = max(its post, arrival of its message)
 */
import { assert, at } from '../base/assert.ts';
import { refuseDeadlock } from '../program/deadlock.ts';
import type { Program, TrainingInstruction } from '../program/instruction.ts';
import type { Span } from '../program/span.ts';
import { COMPUTE, MEET, type PreparedWalk, prepareWalk, RECEIVE, SEND } from './prepareWalk.ts';

type Message = Extract<TrainingInstruction, { kind: 'send' | 'recv' }>;

export interface ProgramCosts {
  /** Seconds that a rank is busy with an instruction; messages are asked for elsewhere. */
  seconds(rank: number, instruction: TrainingInstruction): number;
  /** Seconds from post to arrival on an idle port. */
  transferSeconds(message: {
    readonly from: number;
    readonly to: number;
    readonly instruction: Message;
  }): number;
}

/** Per rank, in the order of the programs; all in seconds from the start of the first. */
export interface WalkTimes {
  readonly makespan: number;
  readonly ends: Float64Array;
  readonly busy: Float64Array;
  /** What is left of the makespan: waits, and idleness after the rank's own end. */
  readonly bubble: Float64Array;
}

export interface Walk extends WalkTimes {
  readonly spans: readonly Span[];
}

/**
 * Every instruction priced by itself, with its span.
 *
 * @throws program.message where a send and a receive do not pair up
 * @throws program.deadlock naming an instruction that waits for ever, and for what
 */
export function walkPrograms(
  programs: readonly Program<TrainingInstruction>[],
  costs: ProgramCosts,
): Walk {
  const prepared = prepareWalk(programs, 'each');
  const size = prepared.opcodes.length;
  const record = { starts: new Float64Array(size), ends: new Float64Array(size) };
  const times = walkPrepared(prepared, pricesOf(prepared, costs), record);
  return { ...times, spans: spansOf(prepared, record) };
}

/** The prices of a prepared walk, asked for once each. */
export function pricesOf({ examples }: PreparedWalk, costs: ProgramCosts): Float64Array {
  const prices = new Float64Array(examples.length);
  for (const [index, { rank, instruction }] of examples.entries()) {
    const seconds =
      instruction.kind === 'send'
        ? costs.transferSeconds({ from: rank, to: instruction.peer, instruction })
        : costs.seconds(rank, instruction);
    assert(seconds >= 0, `"${instruction.kind}" on rank ${rank} takes ${seconds} s`);
    prices[index] = seconds;
  }
  return prices;
}

interface Record {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
}

/**
 * Only times: what a search asks for hundreds of times a second, with one preparation for many
 * prices.
 *
 * @param prices one per `prepared.examples`, as `pricesOf` gives them
 * @param record receives each instruction's start and end
 */
export function walkPrepared(
  prepared: PreparedWalk,
  prices: Float64Array,
  record: Record | null = null,
): WalkTimes {
  const { firsts, opcodes, messages, numMessages, prices: priceOf } = prepared;
  const numRanks = firsts.length - 1;
  const counters = firsts.slice(0, numRanks);
  const now = new Float64Array(numRanks);
  const busy = new Float64Array(numRanks);
  const portFree = new Float64Array(numRanks);
  const arrivals = new Float64Array(numMessages).fill(-1);
  const waiting = new Int32Array(numMessages).fill(-1);
  const met = new Int32Array(numRanks);
  let numMet = 0;
  let meetTime = 0;
  let numEnded = 0;
  const ready = Int32Array.from({ length: numRanks }, (_, rank) => numRanks - 1 - rank);
  let numReady = numRanks;

  while (numReady > 0) {
    const rank = ready[--numReady] as number;
    const last = firsts[rank + 1] as number;
    let time = now[rank] as number;
    let index = counters[rank] as number;
    let isWaiting = false;
    while (index < last) {
      const opcode = opcodes[index] as number;
      const start = time;
      if (opcode === COMPUTE) {
        const seconds = prices[priceOf[index] as number] as number;
        time += seconds;
        busy[rank] = (busy[rank] as number) + seconds;
      } else if (opcode === SEND) {
        const message = messages[index] as number;
        const leaves = Math.max(time, portFree[rank] as number);
        const arrival = leaves + (prices[priceOf[index] as number] as number);
        portFree[rank] = arrival;
        arrivals[message] = arrival;
        const receiver = waiting[message] as number;
        if (receiver >= 0) ready[numReady++] = receiver;
        if (record !== null) {
          record.starts[index] = leaves;
          record.ends[index] = arrival;
        }
        index++;
        continue;
      } else if (opcode === RECEIVE) {
        const message = messages[index] as number;
        const arrival = arrivals[message] as number;
        if (arrival < 0) {
          waiting[message] = rank;
          isWaiting = true;
          break;
        }
        if (arrival > time) time = arrival;
      } else {
        const seconds = prices[priceOf[index] as number] as number;
        time += seconds;
        busy[rank] = (busy[rank] as number) + seconds;
        if (time > meetTime) meetTime = time;
        met[numMet++] = rank;
      }
      if (record !== null) {
        record.starts[index] = start;
        record.ends[index] = time;
      }
      index++;
      if (opcode === MEET) {
        isWaiting = true;
        break;
      }
    }
    now[rank] = time;
    counters[rank] = index;
    if (!isWaiting) numEnded++;
    if (numMet === numRanks) {
      for (let each = 0; each < numRanks; each++) {
        now[each] = meetTime;
        ready[numReady++] = each;
      }
      numMet = 0;
    }
  }
  if (numEnded < numRanks) {
    for (const rank of met.subarray(0, numMet)) counters[rank] = (counters[rank] as number) - 1;
    refuseDeadlock(
      prepared.programs,
      counters.map((counter, rank) => counter - (firsts[rank] as number)),
    );
  }
  let makespan = 0;
  for (let rank = 0; rank < numRanks; rank++) makespan = Math.max(makespan, now[rank] as number);
  return { makespan, ends: now, busy, bubble: busy.map((seconds) => makespan - seconds) };
}

/** Passes on `compute`; messages on `send` from their leaving, on `recv` while somebody waits. */
function spansOf({ programs, firsts }: PreparedWalk, { starts, ends }: Record): Span[] {
  const spans: Span[] = [];
  for (const [position, { rank, instructions }] of programs.entries()) {
    const first = at(firsts, position);
    for (const [index, instruction] of instructions.entries()) {
      const { kind } = instruction;
      const pass = kind === 'forwardBackward' ? instruction.forward : instruction;
      spans.push({
        rank,
        name: kind,
        instruction: index,
        start: at(starts, first + index),
        end: at(ends, first + index),
        stream: kind === 'send' || kind === 'recv' ? kind : 'compute',
        ...('stage' in pass ? { stage: pass.stage, microBatch: pass.microBatch } : {}),
      });
    }
  }
  return spans;
}
