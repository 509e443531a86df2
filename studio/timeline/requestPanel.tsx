/** What the server was asked lately, as a waterfall, in numbers and as a table. */
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { useWords } from '../app/language.ts';
import { messages } from './messages.ts';
import { formatSeconds, roundRate } from './numbers.ts';
import {
  type Alignment,
  drawRequests,
  type Middle,
  type RequestPart,
  requestFacts,
} from './requestRows.ts';
import { RequestTable } from './requestTable.tsx';
import { Absence, useSteps } from './stepPanel.tsx';
import { SERVING, type ServedNow } from './stepSources.ts';
import { type PanelProperties, TimelineFigure } from './timelineFigure.tsx';

export function RequestPanel({ values, change }: PanelProperties): JSX.Element {
  const say = useWords(messages);
  const state = useSteps(SERVING);
  const served = state.kind === 'read' ? state.served : null;
  return (
    <section aria-label={say('requests')}>
      <p class="muted">{say('requestsHelp')}</p>
      <div class="timeline-dials">
        <label>
          {say('requestTimes')}
          <select
            value={values.alignment}
            onChange={({ currentTarget }) =>
              change({ alignment: currentTarget.value as Alignment, from: 0, to: 0 })
            }
          >
            <option value="clock">{say('byClock')}</option>
            <option value="arrival">{say('byArrival')}</option>
          </select>
        </label>
      </div>
      {served === null || served.requests.length === 0 ? (
        <Absence state={state} source={SERVING} />
      ) : (
        <Waterfall served={served} values={values} change={change} />
      )}
    </section>
  );
}

const NAMES = { wait: 'kindWait', prefill: 'kindPrefill', decode: 'kindDecode' } as const;

function Waterfall({
  served,
  values,
  change,
}: PanelProperties & { readonly served: ServedNow }): JSX.Element {
  const say = useWords(messages);
  const { requests, now } = served;
  const { alignment } = values;
  const timeline = useMemo(() => {
    const labelOf = (part: RequestPart): string => say(NAMES[part]);
    return drawRequests({ requests, now, alignment, labelOf });
  }, [requests, now, alignment, say]);
  const { wait, firstToken, rate, ...counts } = requestFacts(requests);
  const seconds = ({ median, most }: Middle): { median: string; most: string } => {
    return { median: formatSeconds(median), most: formatSeconds(most) };
  };
  return (
    <>
      <p class="timeline-facts">
        {[
          say('requestCount', counts),
          ...(wait === null ? [] : [say('requestWait', seconds(wait))]),
          ...(firstToken === null ? [] : [say('requestFirst', seconds(firstToken))]),
          ...(rate === null ? [] : [say('requestRate', { rate: roundRate(rate.median) })]),
        ].join(' ')}
      </p>
      <TimelineFigure
        timeline={timeline}
        format={formatSeconds}
        values={values}
        change={change}
        table={<RequestTable requests={requests} />}
      />
    </>
  );
}
