/**
 * Runs: what trains now and what has trained, as curves that grow. Several runs lie over one
 * another; which runs and which steps are shown is in the address.
 *
 *     #/runs?run=deep,wide&from=100&to=400
 */
import type { JSX } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './runs.css';
import { DraftInput } from '../app/draftInput.tsx';
import { useWords } from '../app/language.ts';
import {
  list,
  number,
  readParameters,
  type Shape,
  type ViewProperties,
  writeParameters,
} from '../app/router.ts';
import { Chart, NUM_STYLES, type StepRange } from './chart.tsx';
import { formatNumber } from './duration.ts';
import { FactsTable, type NamedSeries } from './factsTable.tsx';
import { useLiveRuns, useRunList } from './liveRuns.ts';
import { messages } from './messages.ts';
import { RunCard } from './runCard.tsx';
import { RunTable } from './runTable.tsx';
import { CURVES, type CurveName } from './series.ts';

interface RunsParameters {
  /** Shown runs; none named means the newest. */
  readonly run: readonly string[];
  readonly from: number;
  /** 0: to the last step, wherever that is. */
  readonly to: number;
}

const SHAPE: Shape<RunsParameters> = {
  run: list([]),
  from: number({ fallback: 0, least: 0 }),
  to: number({ fallback: 0, least: 0 }),
};

export function View({ parameters, setParameters }: ViewProperties): JSX.Element {
  const say = useWords(messages);
  const { entries, failure: listFailure } = useRunList();
  const chosen = readParameters(SHAPE, parameters);
  const known = chosen.run.filter((id) => entries?.some((entry) => entry.id === id));
  const shown = known.length > 0 ? known : (entries ?? []).slice(0, 1).map(({ id }) => id);
  const { runs, version, failure } = useLiveRuns(shown);
  const named = shown.flatMap((id): readonly NamedSeries[] => {
    const live = runs.get(id);
    const name = entries?.find((entry) => entry.id === id)?.name ?? id;
    return live === undefined ? [] : [{ id, name, series: live.series }];
  });
  const change = (values: Partial<RunsParameters>): void =>
    setParameters(writeParameters(SHAPE, values));
  const range = shownRange(chosen, named);
  const onRange = (next: StepRange | undefined): void => change(next ?? { from: 0, to: 0 });
  const reason = listFailure ?? failure;

  return (
    <div class="runs-view">
      <h1>{say('title')}</h1>
      {reason !== undefined && <p role="alert">{say('unreachable', { reason })}</p>}
      {entries?.length === 0 && <p>{say('none')}</p>}
      {entries !== undefined && entries.length > 0 && (
        <>
          <RunTable
            entries={entries}
            shown={shown}
            live={runs}
            onShow={(run) => change({ run: run.slice(-NUM_STYLES) })}
          />
          <div class="run-cards">
            {named.map(({ id, name, series }, style) => (
              <RunCard
                key={id}
                name={name}
                style={style}
                series={series}
                shareRead={runs.get(id)?.isCurrent === true ? null : (runs.get(id)?.shareRead ?? 0)}
                entry={entries.find((entry) => entry.id === id)}
              />
            ))}
          </div>
          <RangeInputs range={range} onRange={onRange} />
          <div class="charts">
            {CURVES.map((curve) => (
              <Chart
                key={curve}
                name={curve}
                title={say(curve)}
                summary={summaryOf(curve)}
                lines={named.map(({ name, series }, style) => ({
                  name,
                  style,
                  curve: series.curve(curve),
                }))}
                range={range}
                version={version}
                onRange={onRange}
              />
            ))}
          </div>
          <FactsTable runs={named} />
        </>
      )}
    </div>
  );

  function summaryOf(curve: CurveName): string {
    const parts = named.flatMap(({ name, series }) => {
      const newest = series.facts(curve)?.newest;
      if (newest === undefined) return [];
      const value = formatNumber(newest.value);
      return [`${name}: ${say('atStep', { value, step: newest.step })}`];
    });
    return parts.length === 0 ? say('noPoints') : parts.join('; ');
  }
}

interface RangeProperties {
  readonly range: StepRange;
  readonly onRange: (range: StepRange | undefined) => void;
}

/** The same as dragging over a chart, for the keyboard. */
function RangeInputs({ range, onRange }: RangeProperties): JSX.Element {
  const say = useWords(messages);
  const take = (next: StepRange): 'taken' => {
    if (next.to > next.from) onRange(next);
    return 'taken';
  };
  return (
    <div class="row">
      <label>
        {say('from')}{' '}
        <DraftInput
          type="number"
          min={0}
          value={range.from}
          onEnter={(text) => take({ ...range, from: Number.parseFloat(text) })}
        />
      </label>
      <label>
        {say('to')}{' '}
        <DraftInput
          type="number"
          min={0}
          value={range.to}
          onEnter={(text) => take({ ...range, to: Number.parseFloat(text) })}
        />
      </label>
      <button type="button" onClick={() => onRange(undefined)}>
        {say('all')}
      </button>
      <span class="muted">{say('zoomHint')}</span>
    </div>
  );
}

/** What the address says, up to the newest step of any shown run. */
function shownRange(chosen: RunsParameters, named: readonly NamedSeries[]): StepRange {
  const newest = Math.max(2, ...named.map(({ series }) => series.progress.step));
  const to = chosen.to > 0 ? chosen.to : newest;
  return { from: chosen.from < to ? chosen.from : 0, to };
}
