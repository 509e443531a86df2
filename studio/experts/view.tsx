/**
 * Experts: who gets the tokens. A heat map of layers and experts, over the steps of a training run
 * or over readings of what is served, one layer's experts over all of them at once, and the routes
 * of one prompt. A router can die while the loss falls; here one sees it.
 */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { formatPercent } from '../../src/base/units.ts';
import { useWords } from '../app/language.ts';
import type { ViewProperties } from '../app/router.ts';
import './experts.css';
import {
  type ExpertFrame,
  type ExpertHistory,
  frameIndexAt,
  type Measure,
} from './expertFrames.ts';
import {
  type RunName,
  SERVING,
  useHistory,
  usePlaying,
  useRuns,
  useScale,
} from './expertHistory.ts';
import { ExpertMap } from './expertMap.tsx';
import { Facts, FoldedTable, type Say } from './expertTable.tsx';
import type { MapPlace } from './mapLayout.ts';
import { messages } from './messages.ts';
import { RoutingSection } from './routingSection.tsx';
import { sinceEachBefore } from './servedFrames.ts';
import { TimeMap } from './timeMap.tsx';

export function View({ parameters, setParameters }: ViewProperties): JSX.Element {
  const say = useWords(messages);
  const { runs, failure: runsFailure } = useRuns();
  const source = parameters.source ?? parameters.run ?? runs?.[0]?.id ?? SERVING;
  const isServed = source === SERVING;
  const measure: Measure = parameters.measure === 'bias' ? 'bias' : 'load';
  const isRecent = isServed && parameters.measure === 'recent';
  const { history: read, failure, isRead, share } = useHistory(runs === null ? null : source);
  const history = useMemo(() => (isRecent ? sinceEachBefore(read) : read), [read, isRecent]);
  const step = parameters.step === undefined ? null : Number(parameters.step);
  const index = frameIndexAt(history, step);
  const frame = history.frames[index];
  const scale = useScale(history, measure);
  const [chosen, setChosen] = useState<MapPlace | null>(null);
  const problem = failure ?? runsFailure;
  const showStep = (next: number | null): void =>
    setParameters({ step: next === null ? undefined : String(next) });
  const reading = { history, measure, scale, index };
  return (
    <section class="experts-view" aria-labelledby="experts-title">
      <h1 id="experts-title">{say('title')}</h1>
      <div class="row">
        <label>
          {say('source')}{' '}
          <select
            value={source}
            onChange={(event) =>
              setParameters({ source: event.currentTarget.value, run: undefined, step: undefined })
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
        <label>
          {say('measure')}{' '}
          <select
            value={isRecent ? 'recent' : measure}
            onChange={(event) => setParameters({ measure: event.currentTarget.value })}
          >
            <option value="load">{say(isServed ? 'loadSinceStart' : 'load')}</option>
            {isServed && <option value="recent">{say('loadRecent')}</option>}
            <option value="bias">{say('bias')}</option>
          </select>
        </label>
      </div>
      {problem !== null && <p role="alert">{say('failed', { reason: problem })}</p>}
      {frame === undefined && problem === null && (
        <p role="status">
          {isRead ? say(emptyWord(source, runs)) : say('loading')}{' '}
          {share === null ? '' : formatPercent(share)}
        </p>
      )}
      {history.frames.length > 1 && (
        <TimeRow
          history={history}
          index={index}
          follows={step === null ? 'newest' : 'step'}
          words={isServed ? 'readings' : 'steps'}
          onStep={showStep}
          say={say}
        />
      )}
      {frame !== undefined && (
        <>
          {isServed && isUnused(frame) && <p role="status">{say('noTokens')}</p>}
          <ExpertMap
            frame={frame}
            measure={measure}
            scale={scale}
            say={say}
            chosen={chosen}
            onChoose={setChosen}
          />
          <Facts frame={frame} say={say} />
          {measure === 'bias' && <p class="muted">{biasText(frame, source, say)}</p>}
          {history.stride > 1 && !isServed && (
            <p class="muted">{say('thinned', { stride: history.stride })}</p>
          )}
          <FoldedTable frame={frame} measure={measure} say={say} />
          {history.frames.length > 1 && (
            <OverTime
              {...reading}
              frame={frame}
              wanted={Number(parameters.layer)}
              words={isServed ? 'readings' : 'steps'}
              onLayer={(layer) => setParameters({ layer: String(layer) })}
              onStep={showStep}
              say={say}
            />
          )}
        </>
      )}
      <RoutingSection parameters={parameters} setParameters={setParameters} />
    </section>
  );
}

/** What a history's frames are: steps of a training, or readings of a server. */
type FrameWords = 'steps' | 'readings';

interface TimeRowProperties {
  readonly history: ExpertHistory;
  readonly index: number;
  readonly follows: 'newest' | 'step';
  readonly words: FrameWords;
  /** null: the newest, whichever that is. */
  readonly onStep: (step: number | null) => void;
  readonly say: Say;
}

function TimeRow({ history, index, follows, words, onStep, say }: TimeRowProperties): JSX.Element {
  const [isPlaying, setPlaying] = usePlaying(history, index, onStep);
  const step = history.frames[index]?.step ?? 0;
  const last = history.frames.at(-1)?.step ?? 0;
  const place = say(words === 'steps' ? 'stepOf' : 'readingOf', { step, last });
  return (
    <div class="row time">
      <button type="button" onClick={() => setPlaying(!isPlaying)}>
        {say(isPlaying ? 'pause' : 'play')}
      </button>
      <label class="slider">
        {say(words === 'steps' ? 'step' : 'readingWord')}
        <input
          type="range"
          min={0}
          max={history.frames.length - 1}
          value={index}
          aria-valuetext={place}
          onInput={(event) => {
            setPlaying(false);
            onStep(history.frames[Number(event.currentTarget.value)]?.step ?? null);
          }}
        />
      </label>
      <output>{place}</output>
      <button type="button" disabled={follows === 'newest'} onClick={() => onStep(null)}>
        {say('newest')}
      </button>
    </div>
  );
}

interface OverTimeProperties
  extends Omit<Parameters<typeof TimeMap>[0], 'layer' | 'expert' | 'onChoose' | 'stepWord'> {
  readonly frame: ExpertFrame;
  /** Of the address; any other number is the first layer. */
  readonly wanted: number;
  readonly words: FrameWords;
  readonly onLayer: (layer: number) => void;
  readonly onStep: (step: number | null) => void;
}

function OverTime(properties: OverTimeProperties): JSX.Element {
  const { history, frame, wanted, words, onLayer, onStep, say } = properties;
  const [expert, setExpert] = useState<number | null>(null);
  const found = frame.layers.find(({ layer }) => layer === wanted) ?? frame.layers[0];
  if (found === undefined) return <p>{say('noTokens')}</p>;
  const { layer, loads } = found;
  return (
    <section aria-labelledby="time-title">
      <h2 id="time-title">{say('overTime')}</h2>
      <label>
        {say('layer')}{' '}
        <select value={layer} onChange={(event) => onLayer(Number(event.currentTarget.value))}>
          {frame.layers.map((each) => (
            <option key={each.layer} value={each.layer}>
              {each.layer}
            </option>
          ))}
        </select>
      </label>
      <TimeMap
        {...properties}
        layer={layer}
        expert={expert === null || expert >= loads.length ? null : expert}
        stepWord={say(words === 'steps' ? 'step' : 'readingWord')}
        onChoose={({ index, expert: next }) => {
          setExpert(next);
          onStep(history.frames[index]?.step ?? null);
        }}
      />
    </section>
  );
}

function isUnused({ layers }: ExpertFrame): boolean {
  return layers.every(({ tokens }) => tokens?.every((count) => count === 0) ?? false);
}

function biasText({ biasStep }: ExpertFrame, source: string, say: Say): string {
  if (biasStep === null) return say('noBias');
  return source === SERVING ? say('biasServed') : say('biasOf', { step: biasStep });
}

function emptyWord(
  source: string,
  runs: readonly RunName[] | null,
): 'noServing' | 'noFrames' | 'noRuns' {
  if (source !== SERVING) return 'noFrames';
  return runs?.length === 0 ? 'noRuns' : 'noServing';
}
