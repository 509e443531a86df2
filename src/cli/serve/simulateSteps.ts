/**
 * Steps of a server once more, on described hardware: the programs that ran, the model's own passes
 * on the meta kernels, and for each operation the least time that this machine's measured limits
 * allow. What lies between both is what a step loses to everything but arithmetic and memory.
 */
import type { Roofline } from '../../config/machineProfile.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import type { CacheDType } from '../../kernels/latentCache.ts';
import type { WeightDType } from '../../model/parameters.ts';
import type { SequenceTokens } from '../../program/instruction.ts';
import type { ServedStep } from '../../serving/engineClient.ts';
import type { RecordedStep } from '../../serving/stepRecorder.ts';
import { createCostModel } from '../../simulator/costModel.ts';
import {
  SimulatedServingExecutor,
  type TokenSource,
} from '../../simulator/simulatedServingExecutor.ts';

export interface ServedShape {
  readonly config: ModelConfig;
  readonly dtypeOf: (name: string) => WeightDType;
  readonly cacheDtype: CacheDType;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly maxPositions: number;
}

/** Simulates steps as somebody looks at them, each once; the model of shapes is made once, too. */
export class StepSimulator {
  readonly #executor: SimulatedServingExecutor | null;
  #known = new Map<number, ServedStep>();
  /** Of the step that is being simulated. */
  #tokens: TokenSource = { tokenAt: () => 0, draftAt: () => 0 };

  /** @param limits null where nothing measured them: then nothing is simulated */
  constructor(shape: ServedShape, limits: Roofline | null) {
    if (limits === null) {
      this.#executor = null;
      return;
    }
    const cost = createCostModel({ roofline: limits, samples: [] });
    const tokens: TokenSource = {
      tokenAt: (sequenceId, position) => this.#tokens.tokenAt(sequenceId, position),
      draftAt: (sequenceId, place) => this.#tokens.draftAt(sequenceId, place),
    };
    this.#executor = new SimulatedServingExecutor({ ...shape, cost, tokens });
  }

  /** Of each step that computed something. */
  async simulate(steps: readonly RecordedStep[]): Promise<readonly ServedStep[]> {
    const served: ServedStep[] = [];
    for (const each of steps.filter(computes)) {
      served.push(this.#known.get(each.step) ?? (await this.#simulate(each)));
    }
    this.#known = new Map(served.map((each) => [each.step, each]));
    return served;
  }

  async #simulate(recorded: RecordedStep): Promise<ServedStep> {
    const { step, spans, programs } = recorded;
    this.#tokens = tokensOf(recorded);
    const simulated = await this.#executor?.run(programs);
    return { step, real: spans, simulated: simulated?.spans ?? [] };
  }
}

/** A program may be there only to forget sequences that have ended. */
function computes({ programs }: RecordedStep): boolean {
  return programs.some(({ instructions }) => instructions.some(({ kind }) => kind !== 'forget'));
}

/** What the step decided; drafts are all alike, as a price does not look at them. */
function tokensOf({ programs, outcomes }: RecordedStep): TokenSource {
  const ends = new Map<number, number>();
  for (const { sequenceId, ids, firstPosition } of programs.flatMap(rowsOf)) {
    ends.set(sequenceId, firstPosition + ids.length);
  }
  const decided = new Map<string, number>();
  for (const outcome of outcomes) {
    if (outcome.kind !== 'tokens') continue;
    const { sequenceId, sampled } = outcome;
    const first = (ends.get(sequenceId) ?? 0) - sampled.length + 1;
    for (const [i, id] of sampled.entries()) decided.set(`${sequenceId} ${first + i}`, id);
  }
  return {
    tokenAt: (sequenceId, position) => decided.get(`${sequenceId} ${position}`) ?? 0,
    draftAt: () => 0,
  };
}

function rowsOf({ instructions }: RecordedStep['programs'][number]): readonly SequenceTokens[] {
  return instructions.flatMap((each) =>
    each.kind === 'prefill' || each.kind === 'decode' ? each.sequences : [],
  );
}
