/** Requests that cannot be served are refused with the numbers that disagree; nothing is cut. */
import { MoebiusError } from '../base/errors.ts';
import { checkIds, checkPrompt } from './checkPrompt.ts';
import type { EngineFailure, EngineInfo, EngineRequest } from './engineClient.ts';

const MAX_TOP = 20;
/** A step. */
export const MAX_DRAFTS = 8;

/**
 * @throws generate.empty, generate.context, generate.maxTokens, generate.noMtp,
 *   input.tokenOutOfRange, engine.request
 */
export function checkEngineRequest(request: EngineRequest, info: EngineInfo): void {
  const { promptIds, maxTokens, numDrafts = 'auto' } = request;
  const { maxContext, vocabSize, numMtpModules } = info;
  checkPrompt({ promptIds, maxTokens, maxContext });
  const named = [
    ...promptIds,
    ...(request.stopIds ?? []),
    ...(request.logitBias ?? []).map(({ id }) => id),
    ...(request.thinking?.closeIds ?? []),
  ];
  checkIds(named, vocabSize);
  if (numDrafts !== 'auto' && numDrafts > 0 && numMtpModules === 0) {
    throw new MoebiusError('generate.noMtp', 'the model has no MTP module to draft with', {
      values: { numDrafts },
      hint: 'Leave speculation off, or load a checkpoint that has its MTP layers.',
    });
  }
  const isCount = numDrafts === 'auto' || (Number.isInteger(numDrafts) && numDrafts >= 0);
  need('numDrafts', numDrafts, isCount && (numDrafts === 'auto' || numDrafts <= MAX_DRAFTS));
  const { logProbabilities, minTokens = 0, thinking, penalties } = request;
  need('minTokens', minTokens, Number.isInteger(minTokens) && minTokens >= 0);
  if (minTokens > maxTokens) need('minTokens', minTokens, false);
  const numTop = logProbabilities?.numTop ?? 0;
  need('numTop', numTop, Number.isInteger(numTop) && numTop >= 0 && numTop <= MAX_TOP);
  if (thinking !== undefined) {
    const { budget, closeIds } = thinking;
    need('thinking.budget', budget, Number.isInteger(budget) && budget >= 0);
    need('thinking.closeIds', closeIds.length, closeIds.length > 0);
  }
  const numbers = [
    penalties?.presence ?? 0,
    penalties?.frequency ?? 0,
    ...(request.logitBias ?? []).map(({ bias }) => bias),
    request.priority ?? 0,
  ];
  for (const value of numbers) need('penalties, biases and priority', value, isNumber(value));
  const repetition = penalties?.repetition ?? 1;
  need('penalties.repetition', repetition, isNumber(repetition) && repetition > 0);
}

/** As it crosses threads. */
export function failureOf(error: MoebiusError): EngineFailure {
  const { code, message, hint, values } = error;
  return { code, message, values, ...(hint === undefined ? {} : { hint }) };
}

function isNumber(value: number): boolean {
  return Number.isFinite(value);
}

function need(name: string, value: unknown, isFit: boolean): void {
  if (isFit) return;
  throw new MoebiusError('engine.request', `${name} is ${String(value)}`, {
    values: { [name]: value },
    hint: 'Correct the request: counts are whole numbers from 0, other values finite numbers.',
  });
}
