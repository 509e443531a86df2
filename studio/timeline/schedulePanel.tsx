/** Any schedule for any PP and micro-batch count, drawn while the sliders move. */
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { MoebiusError } from '../../src/base/errors.ts';
import { scheduleNames } from '../../src/config/parallelPlan.ts';
import { DraftInput } from '../app/draftInput.tsx';
import { useWords } from '../app/language.ts';
import { messages } from './messages.ts';
import { formatShare, formatUnits } from './numbers.ts';
import { drawSchedule, fittingSize, repeatRows, type SchedulePicture } from './schedulePicture.ts';
import { type PanelProperties, TimelineFigure } from './timelineFigure.tsx';
import { MOST_MICRO_BATCHES, MOST_RANKS, type TimelineParameters } from './timelineParameters.ts';

/** A picture of so many passes takes a few seconds to make; more would freeze the page. */
const MOST_PASSES = 300_000;

export function SchedulePanel({ values, change }: PanelProperties): JSX.Element {
  const say = useWords(messages);
  const { schedule: name, pp, microBatches, chunks, replicas, F, B, W, FB } = values;
  const outcome = useMemo(() => draw(values), [name, pp, microBatches, chunks, F, B, W, FB]);
  const mostReplicas = Math.max(1, Math.floor(MOST_RANKS / pp));
  const resize = (changes: Partial<TimelineParameters>): void => {
    const next = { ...values, ...changes };
    const size = fittingSize({
      name: next.schedule,
      numRanks: next.pp,
      numMicroBatches: next.microBatches,
    });
    const fitted = { pp: size.numRanks, microBatches: size.numMicroBatches };
    change({ ...changes, ...fitted, from: 0, to: 0 });
  };
  const price = (key: 'F' | 'B' | 'W' | 'FB') => (value: number) => {
    // Of a backward the weight gradient is a part.
    const whole = key === 'W' ? { B: Math.max(B, value) } : {};
    const part = key === 'B' ? { W: Math.min(W, value) } : {};
    change({ ...whole, ...part, [key]: value, from: 0, to: 0 });
  };
  return (
    <section aria-label={say('schedule')}>
      <div class="timeline-dials">
        <label>
          {say('name')}
          <select
            value={name}
            onChange={(event) => {
              const chosen = scheduleNames.find((each) => each === event.currentTarget.value);
              if (chosen !== undefined) resize({ schedule: chosen });
            }}
          >
            {scheduleNames.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </label>
        <Dial
          label={say('ranks')}
          value={pp}
          least={1}
          slider={64}
          most={MOST_RANKS}
          step={name === 'dualpipe' ? 2 : 1}
          onValue={(value) => resize({ pp: value })}
        />
        <Dial
          label={say('microBatches')}
          value={microBatches}
          least={1}
          slider={256}
          most={MOST_MICRO_BATCHES}
          step={1}
          onValue={(value) => resize({ microBatches: value })}
        />
        <Dial
          label={say('replicas')}
          value={Math.min(replicas, mostReplicas)}
          least={1}
          slider={Math.min(128, mostReplicas)}
          most={mostReplicas}
          step={1}
          onValue={(value) => change({ replicas: value })}
        />
        {name === 'interleaved-1f1b' ? (
          <Dial
            label={say('chunks')}
            value={chunks}
            least={1}
            slider={8}
            most={8}
            step={1}
            onValue={(value) => resize({ chunks: value })}
          />
        ) : null}
      </div>
      <details>
        <summary>{say('prices')}</summary>
        <div class="timeline-dials">
          {(['F', 'B', 'W', 'FB'] as const).map((key) => (
            <Dial
              key={key}
              label={say(priceNames[key])}
              value={values[key]}
              least={0.1}
              slider={6}
              most={1000}
              step={0.1}
              onValue={price(key)}
            />
          ))}
        </div>
      </details>
      <Outcome outcome={outcome} values={values} change={change} resize={resize} />
    </section>
  );
}

const priceNames = { F: 'forward', B: 'backward', W: 'weight', FB: 'pair' } as const;

type DrawOutcome =
  | { readonly kind: 'drawn'; readonly picture: SchedulePicture }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'tooLarge'; readonly passes: number };

function draw(values: TimelineParameters): DrawOutcome {
  const { schedule: name, pp, microBatches, chunks, F, B, FB } = values;
  const isChosen = name === 'interleaved-1f1b';
  const passes = pp * microBatches * (isChosen ? chunks : name === 'dualpipev' ? 2 : 1);
  if (passes > MOST_PASSES) return { kind: 'tooLarge', passes };
  try {
    const size = { name, numRanks: pp, numMicroBatches: microBatches };
    const choice = isChosen ? { ...size, chunksPerRank: chunks } : size;
    const W = Math.min(values.W, B);
    return { kind: 'drawn', picture: drawSchedule(choice, { F, B, W, FB }) };
  } catch (error) {
    if (!(error instanceof MoebiusError)) throw error;
    return { kind: 'refused', reason: `${error.message}. ${error.hint ?? ''}` };
  }
}

interface OutcomeProperties extends PanelProperties {
  readonly outcome: DrawOutcome;
  readonly resize: (changes: Partial<TimelineParameters>) => void;
}

function Outcome({ outcome, values, change, resize }: OutcomeProperties): JSX.Element {
  const say = useWords(messages);
  const timeline = useMemo(() => {
    if (outcome.kind !== 'drawn') return null;
    const { rows } = outcome.picture.timeline;
    const most = Math.max(1, Math.floor(MOST_RANKS / rows.length));
    return repeatRows(outcome.picture.timeline, Math.min(values.replicas, most));
  }, [outcome, values.replicas]);
  switch (outcome.kind) {
    case 'tooLarge':
      return <p role="alert">{say('tooLarge', { passes: outcome.passes, most: MOST_PASSES })}</p>;
    case 'refused': {
      const fitting = fittingSize({
        name: values.schedule,
        numRanks: values.pp,
        numMicroBatches: values.microBatches,
      });
      return (
        <div role="alert">
          <p>{say('refused', { reason: outcome.reason })}</p>
          <button type="button" onClick={() => resize({})}>
            {say('fit', { ranks: fitting.numRanks, microBatches: fitting.numMicroBatches })}
          </button>
        </div>
      );
    }
    case 'drawn': {
      if (timeline === null) return <p />;
      const { makespan, bubbles, bubbleShare, published } = outcome.picture;
      const most = bubbles.reduce((a, b) => Math.max(a, b), 0);
      return (
        <>
          <p class="timeline-facts" aria-live="polite">
            {say('makespan', { makespan: formatUnits(makespan) })}{' '}
            {say('bubble', { most: formatUnits(most), share: formatShare(bubbleShare) })}{' '}
            {say('published', {
              formula: published.formula,
              value: formatUnits(published.value),
              share: formatShare(published.share),
            })}
          </p>
          <TimelineFigure timeline={timeline} format={formatUnits} values={values} change={change}>
            <p class="muted timeline-labels">{say('labels')}</p>
          </TimelineFigure>
        </>
      );
    }
    default:
      return outcome satisfies never;
  }
}

interface DialProperties {
  readonly label: string;
  readonly value: number;
  readonly least: number;
  /** Where the slider ends; the number beside it goes on. */
  readonly slider: number;
  readonly most: number;
  readonly step: number;
  readonly onValue: (value: number) => void;
}

function Dial(properties: DialProperties): JSX.Element {
  const { label, value, least, slider, most, step, onValue } = properties;
  const take = (text: string): 'taken' => {
    const number = Number(text);
    // What is no number leaves the one that was there.
    if (text.trim() === '' || !Number.isFinite(number)) return 'taken';
    const whole = step >= 1 ? Math.round(number) : number;
    onValue(Math.min(most, Math.max(least, whole)));
    return 'taken';
  };
  return (
    <label>
      {label}
      <input
        type="range"
        min={step === 2 ? 2 : least}
        max={slider}
        step={step}
        value={Math.min(value, slider)}
        onInput={(event) => take(event.currentTarget.value)}
      />
      <DraftInput
        type="number"
        aria-label={label}
        min={least}
        max={most}
        step="any"
        value={value}
        onEnter={take}
      />
    </label>
  );
}
