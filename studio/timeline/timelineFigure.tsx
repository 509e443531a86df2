/** A timeline as every panel shows it: what its colours mean, the canvas, the facts as a table. */
import type { ComponentChildren, JSX } from 'preact';
import type { Timeline } from '../draw/timelineIndex.ts';
import { Legend } from './legend.tsx';
import type { FormatTime } from './numbers.ts';
import { RowTable } from './rowTable.tsx';
import { TimelineCanvas } from './timelineCanvas.tsx';
import type { TimelineParameters } from './timelineParameters.ts';

export interface PanelProperties {
  readonly values: TimelineParameters;
  readonly change: (values: Partial<TimelineParameters>) => void;
}

interface FigureProperties extends PanelProperties {
  readonly timeline: Timeline;
  readonly format: FormatTime;
  /** In place of a table of the rows. */
  readonly table?: ComponentChildren;
  /** Between the colours and the canvas. */
  readonly children?: ComponentChildren;
}

export function TimelineFigure(properties: FigureProperties): JSX.Element {
  const { timeline, format, values, change, table, children } = properties;
  const { from, to } = values;
  return (
    <>
      <Legend timeline={timeline} />
      {children}
      <TimelineCanvas
        timeline={timeline}
        format={format}
        window={from < to ? { from, to } : null}
        onWindow={(window) => change(window ?? { from: 0, to: 0 })}
        rowHeight={values.rowHeight}
        onRowHeight={(rowHeight) => change({ rowHeight })}
      />
      {table ?? <RowTable timeline={timeline} format={format} />}
    </>
  );
}
