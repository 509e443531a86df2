/** From prompts and settings to the engine's requests: one for each choice of each prompt. */
import type { EngineRequest } from '../engineClient.ts';
import type { OutputPlace } from './callState.ts';
import type { Caller, ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import { choiceSeed, type EngineSettings, roomFor, type SamplingFields } from './samplingFields.ts';

export interface Plan {
  readonly id: string;
  readonly prompts: readonly Int32Array[];
  readonly fields: Pick<SamplingFields, 'n' | 'best_of' | 'cache_salt'>;
  readonly settings: EngineSettings;
  readonly maxTokens: number | null;
  /** The field that `maxTokens` came from. */
  readonly maxTokensParam: string;
  /** The field that the prompts came from. */
  readonly promptParam: string;
}

export interface PlannedRequests {
  readonly requests: readonly EngineRequest[];
  readonly outputs: readonly OutputPlace[];
  readonly promptTokens: number;
  readonly maxTotalTokens: number;
}

/** @throws ProtocolError 400 when they do not fit the context, or are too many */
export function planRequests(
  plan: Plan,
  context: ProtocolContext,
  caller: Caller,
): PlannedRequests {
  const { id, prompts, fields, settings, maxTokens } = plan;
  const n = fields.n ?? 1;
  if (fields.best_of != null && fields.best_of !== n) {
    throw invalid('best_of', `best_of is ${fields.best_of} and n is ${n}`, {
      hint: 'Leave best_of out: as many are computed as are returned.',
    });
  }
  if (n * prompts.length > context.maxChoices) {
    throw invalid('n', `${prompts.length} prompts with ${n} choices each are too many`, {
      hint: `Ask for at most ${context.maxChoices} choices in one request.`,
    });
  }
  const salt = [caller.cacheSalt, fields.cache_salt].filter((each) => each != null).join('/');
  const requests: EngineRequest[] = [];
  const outputs: OutputPlace[] = [];
  let maxTotalTokens = 0;
  for (const [promptIndex, promptIds] of prompts.entries()) {
    const asked = { maxTokens, param: plan.maxTokensParam, promptParam: plan.promptParam };
    const room = roomFor(promptIds.length, asked, context);
    if ((settings.minTokens ?? 0) > room) {
      throw invalid('min_tokens', `min_tokens is ${settings.minTokens}, and ${room} may come`, {
        hint: 'Ask for no more tokens than may come.',
      });
    }
    if (promptIds.length === 0) {
      throw invalid('prompt', 'the prompt has no tokens', { hint: 'Give a prompt.' });
    }
    for (let choice = 0; choice < n; choice++) {
      const requestId = `${id}-${requests.length}`;
      const seed = choiceSeed(settings.sampling.seed, choice);
      requests.push({
        ...settings,
        ...(caller.priority !== undefined && settings.priority === undefined
          ? { priority: caller.priority }
          : {}),
        requestId,
        promptIds,
        maxTokens: room,
        sampling: { ...settings.sampling, seed },
        ...(salt === '' ? {} : { cacheSalt: salt }),
      });
      outputs.push({ requestId, promptIndex, promptTokens: promptIds.length });
      maxTotalTokens += promptIds.length + room;
    }
  }
  const promptTokens = prompts.reduce((total, ids) => total + ids.length, 0);
  return { requests, outputs, promptTokens, maxTotalTokens };
}

/** @throws ProtocolError 404 model_not_found */
export function checkModel(model: string | null | undefined, context: ProtocolContext): void {
  if (model == null || model === context.modelId || context.aliases.includes(model)) return;
  throw modelNotFound(model, context);
}

export function modelNotFound(model: string, context: ProtocolContext): ReturnType<typeof invalid> {
  const names = [context.modelId, ...context.aliases].join(', ');
  return invalid('model', `there is no model ${model} here`, {
    apiCode: 'model_not_found',
    status: 404,
    hint: `Ask for ${names}.`,
  });
}
