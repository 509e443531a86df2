/** A step of a training run or of the server: real above simulated, chosen by a slider. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { listRuns } from '../api/runs.ts';
import { useWords } from '../app/language.ts';
import { CacheFigure } from './cacheFigure.tsx';
import { messages } from './messages.ts';
import { formatSeconds, formatShare } from './numbers.ts';
import { LOADING, SERVING, type StepsState, watchSteps } from './stepSources.ts';
import { drawStep, type StepPicture, type StepSpans } from './stepSpans.ts';
import { type PanelProperties, TimelineFigure } from './timelineFigure.tsx';

export function StepPanel({ values, change }: PanelProperties): JSX.Element {
  const say = useWords(messages);
  const runs = useRuns();
  const source = values.source === '' ? (runs?.[0]?.id ?? SERVING) : values.source;
  const state = useSteps(runs === null && values.source === '' ? null : source);
  const steps = state.kind === 'read' ? state.steps : [];
  const index = indexOf(steps, values.step);
  const chosen = steps[index];
  const picture = useMemo(() => (chosen === undefined ? null : drawStep(chosen)), [chosen]);
  const last = steps.at(-1)?.step ?? 0;
  return (
    <section aria-label={say('steps')}>
      <div class="timeline-dials">
        <label>
          {say('stepsOf')}
          <select
            value={source}
            onChange={({ currentTarget }) =>
              change({ source: currentTarget.value, step: 0, from: 0, to: 0 })
            }
          >
            {runs?.map(({ id, name }) => (
              <option key={id} value={id}>
                {say('run', { name })}
              </option>
            ))}
            <option value={SERVING}>{say('serving')}</option>
          </select>
        </label>
        {chosen === undefined ? null : (
          <label>
            {say('step')}
            <input
              type="range"
              min={0}
              max={steps.length - 1}
              value={index}
              aria-valuetext={say('stepName', { step: chosen.step, last })}
              onInput={({ currentTarget }) =>
                change({ step: steps[Number(currentTarget.value)]?.step ?? 0, from: 0, to: 0 })
              }
            />
            <output>{say('stepName', { step: chosen.step, last })}</output>
          </label>
        )}
        {chosen === undefined ? null : (
          <div>
            <button type="button" disabled={values.step === 0} onClick={() => change({ step: 0 })}>
              {say('newest')}
            </button>
          </div>
        )}
      </div>
      <p class="muted">
        {say('stepsHelp')} {say(source === SERVING ? 'stepsOfServing' : 'stepsOfRun')}
      </p>
      {picture === null ? (
        <Absence state={state} source={source} />
      ) : (
        <>
          <StepFacts picture={picture} />
          <TimelineFigure
            timeline={picture.timeline}
            format={formatSeconds}
            values={values}
            change={change}
          />
        </>
      )}
      {state.kind === 'read' && state.served !== null ? (
        <CacheFigure cache={state.served.cache} />
      ) : null}
    </section>
  );
}

function StepFacts({ picture }: { readonly picture: StepPicture }): JSX.Element {
  const say = useWords(messages);
  const { summaries } = picture;
  const seconds = new Map(summaries.map((each) => [each.source, each.seconds]));
  const [real, simulated] = [seconds.get('real'), seconds.get('simulated')];
  return (
    <p class="timeline-facts">
      {summaries
        .map((each) =>
          say('stepSeconds', { source: say(each.source), seconds: formatSeconds(each.seconds) }),
        )
        .join(' ')}{' '}
      {real === undefined || simulated === undefined || simulated === 0
        ? null
        : say('stepRatio', { ratio: Number((real / simulated).toPrecision(3)) })}
    </p>
  );
}

interface AbsenceProperties {
  readonly state: StepsState;
  readonly source: string;
}

export function Absence({ state, source }: AbsenceProperties): JSX.Element {
  const say = useWords(messages);
  switch (state.kind) {
    case 'loading':
      return (
        <p role="status">
          {say('loading')} {state.share === null ? '' : formatShare(state.share)}
        </p>
      );
    case 'none':
      return <p role="status">{say('notServing')}</p>;
    case 'failed':
      return <p role="alert">{state.reason}</p>;
    case 'read':
      return <p role="status">{say(source === SERVING ? 'noServedSteps' : 'noRunSteps')}</p>;
    default:
      return state satisfies never;
  }
}

/** The step that was named, or the one before it; 0 is the newest. */
function indexOf(steps: readonly StepSpans[], step: number): number {
  if (step === 0) return steps.length - 1;
  return Math.max(
    0,
    steps.findLastIndex((each) => each.step <= step),
  );
}

/** null while they are being asked for. */
function useRuns(): readonly RunSummary[] | null {
  const [runs, setRuns] = useState<readonly RunSummary[] | null>(null);
  useEffect(() => {
    listRuns().then(setRuns, () => setRuns([]));
  }, []);
  return runs;
}

export function useSteps(source: string | null): StepsState {
  const [state, setState] = useState<StepsState>(LOADING);
  useEffect(() => {
    setState(LOADING);
    if (source === null) return;
    const stopping = new AbortController();
    watchSteps(source, setState, stopping.signal);
    return () => stopping.abort();
  }, [source]);
  return state;
}
