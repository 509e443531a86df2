/** How tokens are drawn, as a folded form; every change holds for the next reply. */
import type { JSX } from 'preact';
import { DraftInput } from '../app/draftInput.tsx';
import { type ChatSettings, DEFAULT_SETTINGS, type Manner } from './chatRequest.ts';
import type { Say } from './replyText.tsx';

interface Properties {
  readonly settings: ChatSettings;
  /** A text has no system message and no thinking. */
  readonly manner: Manner;
  readonly say: Say;
  readonly onChange: (change: Partial<ChatSettings>) => void;
}

type NumberKey = 'temperature' | 'topP' | 'topK' | 'minP' | 'repetitionPenalty' | 'maxTokens';

/** The server's own bounds. */
const NUMBERS: readonly (readonly [NumberKey, { min: number; max: number; step: number }])[] = [
  ['temperature', { min: 0, max: 2, step: 0.05 }],
  ['topP', { min: 0, max: 1, step: 0.01 }],
  ['topK', { min: 0, max: 1000, step: 1 }],
  ['minP', { min: 0, max: 1, step: 0.01 }],
  ['repetitionPenalty', { min: 0.1, max: 10, step: 0.05 }],
  ['maxTokens', { min: 1, max: 131_072, step: 1 }],
];

export function SettingsPanel({ settings, manner, say, onChange }: Properties): JSX.Element {
  return (
    <details class="settings card">
      <summary>{say('settings')}</summary>
      {manner === 'chat' && (
        <label class="whole">
          {say('system')}
          <textarea
            rows={2}
            value={settings.system}
            onInput={(event) => onChange({ system: event.currentTarget.value })}
          />
        </label>
      )}
      <div class="fields">
        {NUMBERS.map(([key, bounds]) => (
          <label key={key}>
            {say(key)}
            <DraftInput
              type="number"
              {...bounds}
              value={settings[key]}
              onEnter={(text) => {
                // What makes no number is what it was at first.
                const wanted = numberIn(text) ?? DEFAULT_SETTINGS[key];
                onChange({ [key]: Math.max(bounds.min, Math.min(bounds.max, wanted)) });
                return 'taken';
              }}
            />
          </label>
        ))}
        <label>
          {say('seed')}
          <DraftInput
            type="number"
            step={1}
            value={settings.seed ?? ''}
            onEnter={(text) => {
              const value = numberIn(text);
              onChange({ seed: value === null ? null : Math.trunc(value) });
              return 'taken';
            }}
          />
        </label>
        <Choice
          label={say('drafts')}
          value={settings.drafts}
          options={['auto', 'off'] as const}
          say={say}
          onPick={(drafts) => onChange({ drafts })}
        />
        {manner === 'chat' && (
          <Choice
            label={say('thinkingWish')}
            value={settings.thinking}
            options={['auto', 'on', 'off'] as const}
            say={say}
            onPick={(thinking) => onChange({ thinking })}
          />
        )}
        <Choice
          label={say('details')}
          value={settings.details}
          options={['on', 'off'] as const}
          say={say}
          onPick={(details) => onChange({ details })}
        />
      </div>
    </details>
  );
}

/** null where none is written. */
function numberIn(text: string): number | null {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

interface ChoiceProperties<T extends 'auto' | 'on' | 'off'> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly T[];
  readonly say: Say;
  readonly onPick: (value: T) => void;
}

function Choice<T extends 'auto' | 'on' | 'off'>(properties: ChoiceProperties<T>): JSX.Element {
  const { label, value, options, say, onPick } = properties;
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onPick(event.currentTarget.value as T)}>
        {options.map((option) => (
          <option key={option} value={option}>
            {say(option)}
          </option>
        ))}
      </select>
    </label>
  );
}
