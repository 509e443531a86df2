/** The timeline: schedules by the policies, steps, requests, and traces, real above simulated. */
import type { JSX } from 'preact';
import { useWords } from '../app/language.ts';
import { readParameters, type ViewProperties, writeParameters } from '../app/router.ts';
import { messages } from './messages.ts';
import { RequestPanel } from './requestPanel.tsx';
import { SchedulePanel } from './schedulePanel.tsx';
import { StepPanel } from './stepPanel.tsx';
import './timeline.css';
import type { PanelProperties } from './timelineFigure.tsx';
import { type PictureName, timelineParameters } from './timelineParameters.ts';
import { TracePanel } from './tracePanel.tsx';

const PICTURES: readonly PictureName[] = ['schedule', 'steps', 'requests', 'trace'];

export function View({ parameters, setParameters }: ViewProperties): JSX.Element {
  const say = useWords(messages);
  const values = readParameters(timelineParameters, parameters);
  const change = (changes: Partial<typeof values>): void =>
    setParameters(writeParameters(timelineParameters, changes));
  return (
    <>
      <h1>{say('title')}</h1>
      <div class="row">
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would draw a frame */}
        <div class="row" role="group" aria-label={say('picture')}>
          {PICTURES.map((picture) => (
            <button
              key={picture}
              type="button"
              class={values.picture === picture ? 'primary' : ''}
              aria-pressed={values.picture === picture}
              onClick={() => change({ picture, from: 0, to: 0 })}
            >
              {say(picture)}
            </button>
          ))}
        </div>
      </div>
      <Panel values={values} change={change} />
    </>
  );
}

function Panel({ values, change }: PanelProperties): JSX.Element {
  switch (values.picture) {
    case 'schedule':
      return <SchedulePanel values={values} change={change} />;
    case 'steps':
      return <StepPanel values={values} change={change} />;
    case 'requests':
      return <RequestPanel values={values} change={change} />;
    case 'trace':
      return <TracePanel values={values} change={change} />;
    default:
      return values.picture satisfies never;
  }
}
