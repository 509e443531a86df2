/**
 * The planner: a model, a cluster and a layout above, what training comes to beneath. The address
 * is the plan; a worker answers it with the very function behind `moebius plan train`.
 */
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { formatLayout } from '../../src/config/parallelPlan.ts';
import type { Candidate } from '../../src/planner/planExtras.ts';
import { formatStep } from '../../src/planner/quantities.ts';
import { useWords, type Words } from '../app/language.ts';
import type { Parameters, ViewProperties } from '../app/router.ts';
import { messages, type PlannerWord } from './messages.ts';
import { createPlanClient, type PlanClient, type StartWorker } from './planClient.ts';
import { PlanForm } from './planForm.tsx';
import type { PagePlan } from './planForPage.ts';
import type { PlanNews, PlanProgress } from './planJob.ts';
import { readPlanLink, writePlanLink } from './planLink.ts';
import { firstRequest, type PlanRequest } from './planRequest.ts';
import { PlanResult, Refused } from './planResult.tsx';
import { type Refusal, refusalOf } from './refusal.ts';
import './planner.css';

type Asked =
  | { readonly kind: 'request'; readonly request: PlanRequest }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

type State =
  | { readonly kind: 'working'; readonly progress: PlanProgress }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'planned' }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'failed'; readonly message: string };

/** A dial that is being turned asks once it rests. */
const REST_MILLISECONDS = 200;

export function View({ parameters, setParameters }: ViewProperties): JSX.Element {
  const say = useWords(messages);
  const key = JSON.stringify(parameters);
  // The same words in a new object are the same question.
  const asked = useMemo(() => readLink(parameters), [key]);
  const [state, setState] = useState<State>({ kind: 'working', progress: { kind: 'planning' } });
  const [plan, setPlan] = useState<PagePlan | null>(null);
  const [round, setRound] = useState(0);
  const client = useRef<PlanClient | null>(null);
  useEffect(() => () => client.current?.close(), []);
  useEffect(() => {
    if (asked.kind === 'refused') return undefined;
    client.current ??= createPlanClient(startWorker);
    const { current } = client;
    setState({ kind: 'working', progress: { kind: 'planning' } });
    const hear = (news: PlanNews): void => {
      if (news.kind === 'planned') setPlan(news.plan);
      setState(stateOf(news));
    };
    const rest = setTimeout(() => current.ask(asked.request, hear), REST_MILLISECONDS);
    return () => {
      clearTimeout(rest);
      current.cancel();
    };
  }, [asked, round]);
  const change = (request: PlanRequest): void => setParameters(writePlanLink(request));
  const stop = (): void => {
    client.current?.cancel();
    setState({ kind: 'stopped' });
  };
  if (asked.kind === 'refused') {
    return (
      <div class="planner">
        <h1>{say('title')}</h1>
        <p>{say('badLink')}</p>
        <Refused refusal={asked.refusal} />
        <button type="button" onClick={() => setParameters(clearing(parameters))}>
          {say('first')}
        </button>
      </div>
    );
  }
  const { request } = asked;
  const isWorking = state.kind === 'working';
  return (
    <div class="planner">
      <h1>{say('title')}</h1>
      <p>{say('about')}</p>
      <div class="desk">
        <PlanForm request={request} onChange={change} />
        <div class="answer">
          <p>
            <span role="status">{statusOf(state, plan, say)}</span>{' '}
            {isWorking ? (
              <button type="button" onClick={stop}>
                {say('stop')}
              </button>
            ) : null}
            {state.kind === 'stopped' ? (
              <button type="button" onClick={() => setRound(round + 1)}>
                {say('again')}
              </button>
            ) : null}
          </p>
          {state.kind === 'refused' ? <Refused refusal={state.refusal} /> : null}
          {plan === null || state.kind === 'refused' ? null : (
            <div aria-busy={isWorking}>
              <PlanResult plan={plan} onTake={(candidate) => change(taking(request, candidate))} />
            </div>
          )}
        </div>
      </div>
    </div>
  );
}

const startWorker: StartWorker = (tell, broke) => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<PlanNews>) => tell(data);
  worker.onerror = ({ message }) => broke(message);
  return {
    postMessage: (question) => worker.postMessage(question),
    terminate: () => worker.terminate(),
  };
};

function readLink(parameters: Parameters): Asked {
  try {
    return { kind: 'request', request: readPlanLink(parameters) };
  } catch (error) {
    return { kind: 'refused', refusal: refusalOf(error) };
  }
}

/** Takes away what no plan has, too. */
function clearing(parameters: Parameters): ReturnType<typeof writePlanLink> {
  const all = Object.fromEntries(Object.keys(parameters).map((name) => [name, undefined]));
  return { ...all, ...writePlanLink(firstRequest) };
}

function stateOf(news: PlanNews): State {
  switch (news.kind) {
    case 'progress':
      return { kind: 'working', progress: news.progress };
    case 'planned':
      return { kind: 'planned' };
    case 'refused':
      return { kind: 'refused', refusal: news.refusal };
    case 'failed':
      return { kind: 'failed', message: news.message };
    default:
      news satisfies never;
      return { kind: 'stopped' };
  }
}

function statusOf(state: State, plan: PagePlan | null, say: Words<PlannerWord>): string {
  switch (state.kind) {
    case 'working':
      return progressOf(state.progress, say);
    case 'stopped':
      return say('stopped');
    case 'planned':
      return plan === null ? '' : doneOf(plan, say);
    case 'refused':
      return say('refused');
    case 'failed':
      return say('failed', { reason: state.message });
    default:
      state satisfies never;
      return '';
  }
}

function doneOf({ report, changed }: PagePlan, say: Words<PlannerWord>): string {
  const done = say('done', { seconds: formatStep(report.stepSeconds) });
  if (changed?.kind !== 'planned') return done;
  return `${done} ${say('changedStep', { seconds: formatStep(changed.report.stepSeconds) })}`;
}

function progressOf(progress: PlanProgress, say: Words<PlannerWord>): string {
  switch (progress.kind) {
    case 'planning':
      return say('planning');
    case 'searching': {
      const { numGpus: gpus, priced, total } = progress;
      return say('searching', { gpus, priced, total });
    }
    case 'found':
      return say('found', { plans: progress.numPlans, fitting: progress.numFitting });
    default:
      progress satisfies never;
      return '';
  }
}

/** The plan that a search found, asked for by its own layout from now on. */
function taking(request: PlanRequest, { plan, numGpus }: Candidate): PlanRequest {
  const { search: _, deadlineDays: __, budgetDollars: ___, chunks: ____, ...rest } = request;
  const { layout, schedule, chunksPerRank, microBatchSize, recompute } = plan;
  return {
    ...rest,
    ...{ gpus: [numGpus], layout: formatLayout(layout), schedule, recompute },
    microBatch: microBatchSize,
    ...(schedule === 'interleaved-1f1b' ? { chunks: chunksPerRank } : {}),
  };
}
