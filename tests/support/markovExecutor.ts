/**
 * A serving executor one can follow by hand: a Markov chain over the bytes of `byteTokenizer`,
 * drawn by (seed, position), whose drafts are sometimes right. It writes lower-case letters without
 * end, takes as long for a step as it is told, and dies of a poison.
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { uniformAt } from '../../src/base/random.ts';
import type { ServingExecutor } from '../../src/executor/executor.ts';
import type {
  SampleRequest,
  SequenceTokens,
  ServingOutcome,
} from '../../src/program/instruction.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';

const tokenizer = byteTokenizer();
export const MARKOV_VOCABULARY: number = tokenizer.vocabSize;
const LETTERS = [...tokenizer.encode('etaoin shrdlu.')];
const NUM_LAYERS = 2;
const NUM_EXPERTS = 4;

export interface MarkovOptions {
  /** Of every step that runs something. */
  readonly stepMs?: number;
  /** A prompt with this text ends the executor's thread, one way or the other. */
  readonly poison?: { readonly text: string; readonly does: 'throw' | 'exit' | 'hang' };
}

/** The letter behind another one; `uniform` decides among three. */
function nextToken(last: number, uniform: number): number {
  const choice = Math.floor(uniform * 3);
  return LETTERS[(last * 7 + choice * choice * 5 + 3) % LETTERS.length] ?? 0;
}

export function markovExecutor({ stepMs = 0, poison }: MarkovOptions = {}): ServingExecutor {
  const rows = new Map<number, SequenceTokens>();
  const loads = Array.from({ length: NUM_LAYERS }, () => new Array<number>(NUM_EXPERTS).fill(0));
  const sample = (request: SampleRequest): ServingOutcome => {
    const { sequenceId, positions, sampling, numDrafts, adjustments, numTop = 0 } = request;
    const run = rows.get(sequenceId);
    assert.ok(run !== undefined, 'a sequence is run before it is sampled');
    const first = run.ids.length - positions;
    const draw = (id: number, place: number): number => {
      const uniform = sampling.temperature === 0 ? 0 : uniformAt(sampling.seed, place);
      return nextToken(id, uniform);
    };
    const sampled = run.ids.slice(first).map((id, i) => {
      const token = draw(id, run.firstPosition + first + i);
      const allowed = adjustments?.[i]?.allowed ?? null;
      return allowed === null ? token : firstAllowed(allowed, token);
    });
    const drafts: number[] = [];
    for (let last = sampled.at(-1) ?? 0; drafts.length < numDrafts; drafts.push(last)) {
      last = nextToken(last, 0);
    }
    const top = { ids: sampled.slice(0, 1), logProbabilities: [Math.log(1 / 3)] };
    return {
      kind: 'tokens',
      ...{ sequenceId, sampled, drafts },
      logProbabilities: sampled.map(() => Math.log(1 / 3)),
      ...(numTop > 0 ? { top: sampled.map(() => top) } : {}),
    };
  };
  return {
    run: async (programs) => {
      const outcomes: ServingOutcome[] = [];
      for (const instruction of programs[0]?.instructions ?? []) {
        switch (instruction.kind) {
          case 'prefill':
          case 'decode':
            for (const sequence of instruction.sequences) {
              if (poison !== undefined) await dieOf(poison, sequence.ids);
              rows.set(sequence.sequenceId, sequence);
              for (const counts of loads) {
                for (const id of sequence.ids)
                  counts[id % NUM_EXPERTS] = (counts[id % NUM_EXPERTS] ?? 0) + 1;
              }
            }
            break;
          case 'sample':
            outcomes.push(...instruction.sequences.map(sample));
            break;
          case 'forget':
            for (const sequenceId of instruction.sequenceIds) rows.delete(sequenceId);
            break;
          case 'fillDrafts':
            break;
          case 'route':
            outcomes.push(routesOf(instruction.sequence, loads));
            break;
          case 'reportExperts': {
            const layers = loads.map((counts, layer) => ({ layer, tokensPerExpert: [...counts] }));
            outcomes.push({ kind: 'expertLoads', layers });
            if (instruction.then === 'reset') for (const counts of loads) counts.fill(0);
            break;
          }
          default:
            instruction satisfies never;
        }
      }
      if (stepMs > 0) await setTimeout(stepMs);
      return { spans: [], outcomes };
    },
  };
}

/** An expert for each token, the one that is counted. */
function routesOf({ sequenceId, ids }: SequenceTokens, loads: number[][]): ServingOutcome {
  const layers = loads.map((counts, layer) => {
    const experts = Int32Array.from(ids, (id) => id % NUM_EXPERTS);
    for (const expert of experts) counts[expert] = (counts[expert] ?? 0) + 1;
    return { layer, experts, weights: new Float32Array(experts.length).fill(1) };
  });
  return { kind: 'routes', sequenceId, layers };
}

/** The token itself where it may come, else the lowest that may. */
function firstAllowed(allowed: Uint32Array, token: number): number {
  const isAllowed = (id: number): boolean => (((allowed[id >> 5] ?? 0) >>> (id & 31)) & 1) === 1;
  if (isAllowed(token)) return token;
  for (let id = 0; id < MARKOV_VOCABULARY; id++) if (isAllowed(id)) return id;
  return token;
}

async function dieOf(
  { text, does }: NonNullable<MarkovOptions['poison']>,
  ids: readonly number[],
): Promise<void> {
  if (!tokenizer.decode([...ids]).includes(text)) return;
  if (does === 'exit') process.exit(3);
  if (does === 'hang') await new Promise(() => {});
  throw new Error('the chain is broken');
}
