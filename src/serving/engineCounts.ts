/** What an engine did since it began, for its stats. */
import type { BatchPlan } from '../policy/batching/batchScheduler.ts';
import type { StepCost } from '../policy/speculation/draftPolicy.ts';
import { SPAN_OF_DRAFTS, type Span } from '../program/span.ts';
import type { EngineStats } from './engineClient.ts';

type Totals = Omit<
  EngineStats,
  'running' | 'waiting' | 'waitingTokens' | 'usedBlocks' | 'cachedBlocks'
>;

export class EngineCounts {
  readonly #drafted: number[] = [];
  readonly #accepted: number[] = [];
  #prefixQueriedTokens = 0;
  #prefixHitTokens = 0;
  #promptTokens = 0;
  #generatedTokens = 0;
  #numSteps = 0;
  #stepSeconds = 0;
  #preemptions = 0;

  get totals(): Totals {
    return {
      prefixQueriedTokens: this.#prefixQueriedTokens,
      prefixHitTokens: this.#prefixHitTokens,
      promptTokens: this.#promptTokens,
      generatedTokens: this.#generatedTokens,
      numSteps: this.#numSteps,
      stepSeconds: this.#stepSeconds,
      preemptions: this.#preemptions,
      drafted: this.#drafted.reduce((sum, each) => sum + each, 0),
      accepted: this.#accepted.reduce((sum, each) => sum + each, 0),
      draftedPerPosition: [...this.#drafted],
      acceptedPerPosition: [...this.#accepted],
    };
  }

  addPrompt(promptTokens: number, cachedTokens: number): void {
    this.#promptTokens += promptTokens;
    this.#prefixQueriedTokens += promptTokens;
    this.#prefixHitTokens += cachedTokens;
  }

  addDecided(
    { numDrafted, numAccepted }: { numDrafted: number; numAccepted: number },
    numTokens: number,
  ): void {
    this.#generatedTokens += numTokens;
    for (let i = 0; i < numDrafted; i++) {
      this.#drafted[i] = (this.#drafted[i] ?? 0) + 1;
      this.#accepted[i] = (this.#accepted[i] ?? 0) + (i < numAccepted ? 1 : 0);
    }
  }

  addPreemption(): void {
    this.#preemptions++;
  }

  addStep(seconds: number): void {
    this.#numSteps++;
    this.#stepSeconds += seconds;
  }

  /** A decoding step as its spans tell it. */
  costOf({ decodes }: BatchPlan, spans: readonly Span[]): StepCost {
    const cost = { passSeconds: 0, sampleSeconds: 0, draftSeconds: 0 };
    for (const { name, start, end } of spans) {
      if (name === 'decode') cost.passSeconds += end - start;
      if (name === 'sample') cost.sampleSeconds += end - start;
      if (name === SPAN_OF_DRAFTS) cost.draftSeconds += end - start;
    }
    let numDrafts = 0;
    for (const { drafts } of decodes) numDrafts += drafts.length;
    const sampleSeconds = Math.max(0, cost.sampleSeconds - cost.draftSeconds);
    return { ...cost, sampleSeconds, numSequences: decodes.length, numDrafts };
  }
}
