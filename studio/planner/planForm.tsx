/** What a plan is asked with: pickers, fields, and the dials of what-if hardware. */
import type { JSX } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import type { ClusterSpec } from '../../src/config/clusterSpec.ts';
import { clusterNames, findCluster } from '../../src/config/clusters/clusters.ts';
import { recomputePolicies, scheduleNames } from '../../src/config/parallelPlan.ts';
import { plannedModelNames } from '../../src/config/presets/dense.ts';
import { DraftInput, type Entered } from '../app/draftInput.tsx';
import { useWords } from '../app/language.ts';
import {
  amountOf,
  dialRange,
  dials,
  doublingsOf,
  factorAt,
  readDial,
  turnDial,
} from './hardwareDials.ts';
import { messages } from './messages.ts';
import { ownChoices } from './ownChoices.ts';
import type { PlanRequest } from './planRequest.ts';
import { refusalOf } from './refusal.ts';

interface FormProperties {
  readonly request: PlanRequest;
  readonly onChange: (request: PlanRequest) => void;
}

type TextKey = 'layout' | 'schedule' | 'precision' | 'recompute';
type CountKey = 'globalBatch' | 'microBatch' | 'sequenceLength';

/** Without an option: exactly optional properties are left out, not undefined. */
function without(request: PlanRequest, key: keyof PlanRequest): PlanRequest {
  return Object.fromEntries(
    Object.entries(request).filter(([name]) => name !== key),
  ) as unknown as PlanRequest;
}

export function PlanForm({ request, onChange }: FormProperties): JSX.Element {
  const say = useWords(messages);
  const setText = (key: TextKey, text: string): void =>
    onChange(text === '' ? without(request, key) : { ...request, [key]: text });
  const setCount = (key: CountKey, text: string): void =>
    onChange(text === '' ? without(request, key) : { ...request, [key]: Number(text) });
  const setGpus = (text: string): void =>
    onChange(
      text === '' ? without(request, 'gpus') : { ...request, gpus: text.split(',').map(Number) },
    );
  const own = ownChoices(request);
  const openWord = (value: string | null | undefined): string => {
    if (value === undefined) return say('own');
    return value === null ? say('searched') : say('ownValue', { value });
  };
  // A layout is made for a model and a number of GPUs: for others it is searched.
  const pick = (key: 'model' | 'cluster', name: string): void =>
    onChange({ ...without(without(request, 'layout'), 'gpus'), [key]: name });
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      <Choice
        label={say('model')}
        value={request.model}
        choices={plannedModelNames}
        onPick={(name) => pick('model', name)}
      />
      <Choice
        label={say('cluster')}
        value={request.cluster}
        choices={clusterNames}
        onPick={(name) => pick('cluster', name)}
      />
      <Field
        label={say('layout')}
        value={request.layout ?? ''}
        own={say('anyLayout')}
        hint={say('layoutHint')}
        onEnter={(text) => setText('layout', text === 'any' ? '' : text)}
      />
      <button
        type="button"
        class="across"
        disabled={request.layout === undefined}
        onClick={() => onChange(without(request, 'layout'))}
      >
        {say('search')}
      </button>
      <Choice
        label={say('schedule')}
        value={request.schedule ?? ''}
        choices={scheduleNames}
        open={openWord(own?.schedule)}
        onPick={(name) => setText('schedule', name)}
      />
      <Choice
        label={say('precision')}
        value={request.precision ?? ''}
        choices={['fp8', 'bf16']}
        open={openWord(own?.precision)}
        isShort
        onPick={(name) => setText('precision', name)}
      />
      <Choice
        label={say('recompute')}
        value={request.recompute ?? ''}
        choices={[...Object.keys(recomputePolicies), 'auto']}
        open={openWord(own?.recompute)}
        isShort
        onPick={(name) => setText('recompute', name)}
      />
      <Field
        label={say('gpus')}
        value={request.gpus?.join(',') ?? ''}
        own={own?.gpus ?? ''}
        counts="several"
        onEnter={setGpus}
      />
      <Field
        label={say('length')}
        value={String(request.sequenceLength ?? '')}
        own={own?.sequenceLength ?? ''}
        counts="one"
        onEnter={(text) => setCount('sequenceLength', text)}
      />
      <Field
        label={say('batch')}
        value={String(request.globalBatch ?? '')}
        own={own?.globalBatch ?? ''}
        counts="one"
        onEnter={(text) => setCount('globalBatch', text)}
      />
      <Field
        label={say('microBatch')}
        value={String(request.microBatch ?? '')}
        own={own === null ? '' : (own.microBatch ?? say('searched'))}
        counts="one"
        onEnter={(text) => setCount('microBatch', text)}
      />
      <Dials request={request} onChange={onChange} />
    </form>
  );
}

function Dials({ request, onChange }: FormProperties): JSX.Element {
  const say = useWords(messages);
  const id = useId();
  const { whatIf: settings = [] } = request;
  const cluster = clusterOf(request.cluster);
  const set = (changed: readonly string[]): void =>
    onChange(changed.length === 0 ? without(request, 'whatIf') : { ...request, whatIf: changed });
  return (
    <fieldset>
      <legend>{say('hardware')}</legend>
      {dials.map((dial) => {
        const factor = readDial(settings, dial);
        const shown =
          cluster === null ? `× ${factor}` : `× ${factor} = ${amountOf(cluster, dial, factor)}`;
        const turn = (doublings: number): void => {
          if (cluster === null) return;
          set(turnDial(settings, { dial, factor: factorAt(doublings), cluster }));
        };
        return (
          <div class="dial" key={dial.name}>
            <label for={`${id}-${dial.name}`}>{say(dial.name)}</label>
            <span class="amount">{shown}</span>
            <input
              id={`${id}-${dial.name}`}
              type="range"
              min={dialRange.least}
              max={dialRange.most}
              step={dialRange.step}
              value={doublingsOf(factor)}
              disabled={cluster === null}
              aria-valuetext={shown}
              onInput={({ currentTarget }) => turn(Number(currentTarget.value))}
            />
          </div>
        );
      })}
      <button type="button" class="across" disabled={settings.length === 0} onClick={() => set([])}>
        {say('reset')}
      </button>
    </fieldset>
  );
}

/** Null for a name of a link that no cluster has: the planner refuses it with a hint. */
function clusterOf(name: string): ClusterSpec | null {
  try {
    return findCluster(name);
  } catch (error) {
    refusalOf(error);
    return null;
  }
}

interface ChoiceProperties {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly string[];
  /** The word for no choice; without it one must be made. */
  readonly open?: string;
  /** Half a line is enough. */
  readonly isShort?: true;
  readonly onPick: (choice: string) => void;
}

/** A link may name what is no preset (`h800x512`): it is shown among the others. */
function Choice(properties: ChoiceProperties): JSX.Element {
  const { label, value, choices, open, isShort, onPick } = properties;
  const isListed = value === '' || choices.includes(value);
  return (
    <label class={isShort ? '' : 'across'}>
      {label}
      <select value={value} onChange={({ currentTarget }) => onPick(currentTarget.value)}>
        {open === undefined ? null : <option value="">{open}</option>}
        {(isListed ? choices : [value, ...choices]).map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  );
}

interface FieldProperties {
  readonly label: string;
  readonly value: string;
  /** What is taken where nothing is written. */
  readonly own: string;
  readonly hint?: string;
  /** Where only whole numbers make sense. */
  readonly counts?: 'one' | 'several';
  /** When the field is left, or Enter pressed. */
  readonly onEnter: (text: string) => void;
}

const COUNT = { one: /^[1-9]\d*$/, several: /^[1-9]\d*(?:\s*,\s*[1-9]\d*)*$/ } as const;

/** What cannot be meant stays in the field and is marked; the plan before it stands. */
function Field({ label, value, own, hint, counts, onEnter }: FieldProperties): JSX.Element {
  const say = useWords(messages);
  const id = useId();
  const [isWrong, setWrong] = useState(false);
  useEffect(() => setWrong(false), [value]);
  const enter = (text: string): Entered => {
    const isMeant = text === '' || counts === undefined || COUNT[counts].test(text);
    setWrong(!isMeant);
    if (isMeant) onEnter(text);
    return isMeant ? 'taken' : 'kept';
  };
  const said = isWrong ? say(counts === 'several' ? 'needCounts' : 'needCount') : hint;
  return (
    <div class={counts === undefined ? 'field across' : 'field'}>
      <label for={id}>{label}</label>
      <DraftInput
        id={id}
        type="text"
        inputMode={counts === undefined ? 'text' : 'numeric'}
        value={value}
        placeholder={own}
        aria-invalid={isWrong}
        aria-describedby={said === undefined ? undefined : `${id}-said`}
        onEnter={(text) => enter(text.trim())}
      />
      {said === undefined ? null : (
        <small id={`${id}-said`} class={isWrong ? 'wrong' : 'muted'}>
          {said}
        </small>
      )}
    </div>
  );
}
