/** Requests in numbers: what the waterfall shows, for those who cannot see it, and more. */
import type { JSX } from 'preact';
import type { RequestTimes } from '../../src/serving/engineClient.ts';
import { useWords } from '../app/language.ts';
import { messages } from './messages.ts';
import { formatSeconds, roundRate } from './numbers.ts';
import { rateOf } from './requestRows.ts';

const ENDS = {
  stop: 'endStop',
  length: 'endLength',
  abort: 'endAbort',
  error: 'endError',
} as const;

export function RequestTable({
  requests,
}: {
  readonly requests: readonly RequestTimes[];
}): JSX.Element {
  const say = useWords(messages);
  const first = Math.min(...requests.map(({ arrived }) => arrived));
  return (
    <details>
      <summary>{say('table')}</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      <section class="wide" aria-label={say('table')} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{say('request')}</th>
              {NUMBERS.map((key) => (
                <th key={key} scope="col" class="number">
                  {say(key)}
                </th>
              ))}
              <th scope="col">{say('ended')}</th>
              <th scope="col">{say('requestName')}</th>
            </tr>
          </thead>
          <tbody>
            {requests.map((each) => (
              <tr key={each.number}>
                <th scope="row">{each.number + 1}</th>
                {cellsOf(each, first).map((cell, column) => (
                  <td key={NUMBERS[column]} class="number">
                    {cell}
                  </td>
                ))}
                <td>
                  {say(each.reason === null ? 'endNone' : ENDS[each.reason])}
                  {each.usage.preemptions === 0
                    ? ''
                    : `, ${say('preempted', { times: each.usage.preemptions })}`}
                </td>
                <td>
                  <code>{each.requestId}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}

const NUMBERS = [
  'arrived',
  'promptTokens',
  'answerTokens',
  'waited',
  'firstToken',
  'answered',
  'rate',
] as const;

/** By `NUMBERS`. */
function cellsOf(request: RequestTimes, first: number): readonly string[] {
  const { arrived, started, firstToken, usage } = request;
  const rate = rateOf(request);
  const since = (time: number | null): string =>
    time === null ? '–' : formatSeconds(time - arrived);
  return [
    formatSeconds(arrived - first),
    `${usage.promptTokens} (${usage.cachedTokens})`,
    `${usage.completionTokens} (${usage.accepted})`,
    since(started),
    since(firstToken),
    firstToken === null ? '–' : formatSeconds(usage.decodeSeconds),
    rate === null ? '–' : String(roundRate(rate)),
  ];
}
