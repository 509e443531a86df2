/** Recorded and simulated spans in one picture, from files that stay in the page. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { useWords } from '../app/language.ts';
import type { RowSource } from '../draw/timelineIndex.ts';
import { messages } from './messages.ts';
import { formatSeconds, formatShare } from './numbers.ts';
import { closeTrace, type OpenTrace, openTrace, openTraces, watchTraces } from './openTraces.ts';
import { type PanelProperties, TimelineFigure } from './timelineFigure.tsx';
import { drawTraces, type TraceRows } from './traceRows.ts';

const SOURCES: readonly RowSource[] = ['real', 'simulated'];

export function TracePanel({ values, change }: PanelProperties): JSX.Element {
  const say = useWords(messages);
  const [open, setOpen] = useState(openTraces);
  useEffect(() => watchTraces(setOpen), []);
  const picture = useMemo(() => {
    const [real, simulated] = [traceOf(open.real), traceOf(open.simulated)];
    if (real === null && simulated === null) return null;
    return drawTraces({
      ...(real === null ? {} : { real }),
      ...(simulated === null ? {} : { simulated }),
    });
  }, [open.real, open.simulated]);
  return (
    <section aria-label={say('trace')}>
      <p class="muted">
        {say('traceHelp')} {say('tracePlan')}
      </p>
      <div class="timeline-dials">
        {SOURCES.map((source) => (
          <div key={source} class="timeline-file">
            <label>
              {say(source === 'real' ? 'realFile' : 'simulatedFile')}
              <input
                type="file"
                accept=".json,.gz"
                onChange={(event) => {
                  const file = event.currentTarget.files?.[0];
                  if (file === undefined) return;
                  change({ from: 0, to: 0 });
                  openTrace(source, file);
                }}
              />
            </label>
            <TraceState trace={open[source]} onClose={() => closeTrace(source)} />
          </div>
        ))}
      </div>
      {picture === null ? null : (
        <>
          <div class="timeline-facts" aria-live="polite">
            {picture.summaries.map(({ source, seconds, numDevices, numSpans, bubbleShare }) => (
              <p key={source}>
                {say('summary', {
                  source: say(source),
                  seconds: formatSeconds(seconds),
                  devices: numDevices,
                  spans: numSpans,
                  share: formatShare(bubbleShare),
                })}
              </p>
            ))}
          </div>
          <TimelineFigure
            timeline={picture.timeline}
            format={formatSeconds}
            values={values}
            change={change}
          />
        </>
      )}
    </section>
  );
}

function traceOf(open: OpenTrace): TraceRows | null {
  return open.kind === 'read' ? open.trace : null;
}

interface TraceStateProperties {
  readonly trace: OpenTrace;
  readonly onClose: () => void;
}

function TraceState({ trace, onClose }: TraceStateProperties): JSX.Element | null {
  const say = useWords(messages);
  switch (trace.kind) {
    case 'none':
      return null;
    case 'reading': {
      const { file, share } = trace;
      return (
        <div class="row">
          <progress max={1} value={share} aria-label={say('reading', { file })} />
          <span>
            {share < 1
              ? say('readingShare', { file, share: formatShare(share) })
              : say('arranging', { file })}
          </span>
          <button type="button" onClick={onClose}>
            {say('stop')}
          </button>
        </div>
      );
    }
    case 'unread':
      return <p role="alert">{say('unread', { file: trace.file, reason: trace.reason })}</p>;
    case 'read':
      return (
        <button type="button" onClick={onClose}>
          {say('close', { file: trace.file })}
        </button>
      );
    default:
      return trace satisfies never;
  }
}
