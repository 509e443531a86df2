/** What a plan comes to: numbers with their origins, pictures, and the same facts as tables. */
import type { JSX } from 'preact';
import { formatBytes, formatPercent } from '../../src/base/units.ts';
import { formatLayout } from '../../src/config/parallelPlan.ts';
import { memoryParts } from '../../src/planner/memoryParts.ts';
import { phaseNames } from '../../src/planner/phaseNames.ts';
import type { Candidate } from '../../src/planner/planExtras.ts';
import { formatDollars, formatError, formatStep, wordsOf } from '../../src/planner/quantities.ts';
import { useWords } from '../app/language.ts';
import {
  type CostBar,
  costOfPhases,
  costPicture,
  memoryPicture,
  phasePicture,
  secondsOf,
} from './barPictures.ts';
import { changeOf, daysOf, factsOf } from './facts.ts';
import { messages } from './messages.ts';
import { Drawn, Legend } from './pictures.tsx';
import type { PagePlan, PlanOnCluster } from './planForPage.ts';
import { Folded, Table } from './planTable.tsx';
import type { Refusal } from './refusal.ts';
import { markShapes, type ParetoAxis, paretoPicture, rooflinePicture } from './scatterPictures.ts';

interface ResultProperties {
  readonly plan: PagePlan;
  readonly onTake: (candidate: Candidate) => void;
}

export function PlanResult({ plan, onTake }: ResultProperties): JSX.Element {
  const say = useWords(messages);
  const { changed } = plan;
  const shown: PlanOnCluster = changed?.kind === 'planned' ? changed : plan;
  return (
    <>
      {plan.notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
      {changed?.kind === 'refused' ? <Refused refusal={changed.refusal} /> : null}
      <div class="cards">
        <Headline plan={plan} />
        <Phases plan={plan} />
        <Memory plan={plan} />
        <Roofline plan={plan} />
        <Fronts plan={plan} onTake={onTake} />
        <WhatIfs plan={plan} />
        <section class="card across">
          <h2>{say('command')}</h2>
          <pre>{plan.command}</pre>
          <h2>{say('sources')}</h2>
          <Sources shown={shown} />
        </section>
      </div>
    </>
  );
}

export function Refused({ refusal }: { readonly refusal: Refusal }): JSX.Element {
  const say = useWords(messages);
  return (
    <div class="refusal" role="alert">
      <strong>{say('refused')}</strong> <code>{refusal.code}</code>
      <p>{refusal.message}</p>
      {refusal.hint === null ? null : <p>{refusal.hint}</p>}
    </div>
  );
}

function Headline({ plan }: { readonly plan: PagePlan }): JSX.Element {
  const say = useWords(messages);
  const { changed, published, report } = plan;
  const before = factsOf(plan, say);
  const after = changed?.kind === 'planned' ? factsOf(changed, say) : null;
  const more = after === null ? [] : [say('changed'), say('change')];
  const { layout, schedule, precision, recompute } = report.plan;
  return (
    <section class="card">
      <h2>{say('result')}</h2>
      <p>
        {report.model}, {report.cluster}: {formatLayout(layout)}, {schedule}, {precision},{' '}
        {recompute}
      </p>
      <Table
        label={say('result')}
        head={[say('number'), say('today'), ...more]}
        rows={before.map((fact, index) => {
          const other = after?.[index];
          return [
            { name: say(fact.name), from: other?.from ?? fact.from },
            fact.value,
            ...(other === undefined ? [] : [other.value, changeOf(fact, other)]),
          ];
        })}
      />
      {published === null || published.stepSeconds === null ? null : (
        <p class="muted">
          {say('published', {
            seconds: formatStep(published.stepSeconds),
            from: published.from,
          })}
        </p>
      )}
    </section>
  );
}

/** The plan, and below it what it is on changed hardware. */
function useBars({ report, changed }: PagePlan): readonly CostBar[] {
  const say = useWords(messages);
  const bar = (name: string, { phases, dollars }: CostBar | PagePlan['report']): CostBar => {
    return { name, phases, dollars };
  };
  return [
    bar(say('today'), report),
    ...(changed?.kind === 'planned' ? [bar(say('changed'), changed.report)] : []),
  ];
}

/** A step's time and the run's cost, which is split as the time is. */
function Phases({ plan }: { readonly plan: PagePlan }): JSX.Element {
  const say = useWords(messages);
  const bars = useBars(plan);
  const costs = bars.map(costOfPhases);
  const headOf = (what: string): readonly string[] =>
    bars.map(({ name }) => (bars.length === 1 ? what : `${what}, ${name}`));
  return (
    <section class="card">
      <h2>{say('phases')}</h2>
      <Drawn label={say('phases')} draw={(width) => phasePicture(bars, width)} />
      <Legend
        entries={phaseNames.map(({ key, kind }) => ({
          tone: kind,
          name: key === 'bubble' || key === 'optimizer' ? say(key) : `${key}: ${say(key)}`,
        }))}
      />
      <h2>{say('paidFor')}</h2>
      <Drawn label={say('paidFor')} draw={(width) => costPicture(bars, width)} />
      <Table
        label={`${say('phases')}; ${say('paidFor')}`}
        head={[say('phase'), ...headOf(say('seconds')), ...headOf(say('money'))]}
        rows={[
          ...phaseNames.map(({ key }): [string, ...string[]] => [
            key,
            ...bars.map(({ phases }) => formatStep(phases[key])),
            ...costs.map((each) => formatDollars(each[key])),
          ]),
          [
            say('sum'),
            ...bars.map(({ phases }) => formatStep(secondsOf(phases))),
            ...bars.map(({ dollars }) => formatDollars(dollars)),
          ],
        ]}
      />
    </section>
  );
}

function Memory({ plan }: { readonly plan: PagePlan }): JSX.Element {
  const say = useWords(messages);
  const { report, cluster, changed } = plan;
  const shown = changed?.kind === 'planned' ? changed : plan;
  const { ranks } = shown.report;
  const capacityBytes = shown.cluster.gpu.memoryBytes;
  const before = { ranks: report.ranks, capacityBytes: cluster.gpu.memoryBytes };
  const isOther = shown !== plan;
  return (
    <section class="card">
      <h2>{say('memoryOfRanks')}</h2>
      <p class="muted">
        {say('memoryCaption', { capacity: formatBytes(capacityBytes) })}
        {isOther ? ` ${say('memoryBefore')}` : ''}
      </p>
      <Drawn
        label={say('memoryOfRanks')}
        draw={(width) =>
          memoryPicture({ ranks, capacityBytes, ...(isOther ? { before } : {}) }, width)
        }
      />
      <Legend entries={memoryParts.map(({ key, kind }) => ({ tone: kind, name: say(key) }))} />
      <Folded>
        <Table
          label={say('memoryOfRanks')}
          head={[
            ...[say('rank'), say('layers'), say('peakMemory')],
            ...(isOther ? [say('today')] : []),
            ...memoryParts.map(({ key }) => say(key)),
          ]}
          rows={ranks.map(({ rank, stages, memoryBytes, memory }, index) => [
            String(rank),
            stages.map(({ first, last }) => `${first}–${last - 1}`).join(', '),
            formatBytes(memoryBytes),
            ...(isOther ? [formatBytes(report.ranks[index]?.memoryBytes ?? 0)] : []),
            ...memoryParts.map(({ key }) => formatBytes(memory[key])),
          ])}
        />
      </Folded>
    </section>
  );
}

function Roofline({ plan }: { readonly plan: PagePlan }): JSX.Element {
  const say = useWords(messages);
  const shown = plan.changed?.kind === 'planned' ? plan.changed : plan;
  const { operations } = shown.report;
  const { gpu } = shown.cluster;
  const other = shown === plan ? {} : { before: plan.cluster.gpu };
  const bounds = [...new Set(operations.filter(({ flops }) => flops > 0).map((o) => o.bound))];
  const names = { x: say('intensity'), y: say('reached') };
  return (
    <section class="card">
      <h2>{say('roofline')}</h2>
      <Drawn
        label={`${say('roofline')}, ${gpu.name}`}
        draw={(width) => rooflinePicture({ operations, gpu, ...other }, { width, names })}
      />
      <Legend
        entries={bounds.map((bound) => ({
          ...{ tone: `bound-${bound}`, mark: markShapes[bound] },
          name: say('boundBy', { bound: say(`${bound}Bound`) }),
        }))}
      />
      {shown === plan ? null : <p class="muted">{say('roofBefore')}</p>}
      <Folded>
        <Table
          label={say('roofline')}
          head={[say('operation'), say('time'), say('share'), say('bound'), say('known')]}
          rows={operations.map(({ name, seconds, shareOfLimit, bound, source }) => [
            wordsOf(name),
            formatStep(seconds),
            formatPercent(shareOfLimit),
            bound,
            source,
          ])}
        />
      </Folded>
    </section>
  );
}

function Fronts({ plan, onTake }: ResultProperties): JSX.Element {
  const say = useWords(messages);
  const { candidates, compared } = plan;
  if (candidates.length === 0) {
    return (
      <section class="card across">
        <h2>{say('pareto')}</h2>
        <p class="muted">{say('noPareto')}</p>
      </section>
    );
  }
  const x = plan.report.days === null ? say('stepAxis') : say('duration');
  const entries = [
    { tone: 'best', name: say('best'), mark: 'diamond' },
    { tone: 'onFront', name: say('onFront'), mark: 'circle' },
    { tone: 'beaten', name: say('beaten'), mark: 'circle' },
  ] as const;
  const front = (against: ParetoAxis, title: string, y: string): JSX.Element => (
    <section class="card">
      <h2>{title}</h2>
      <Drawn
        label={title}
        draw={(width) =>
          paretoPicture({ candidates: compared, against }, { width, names: { x, y } })
        }
      />
      <Legend entries={entries} />
    </section>
  );
  const { numPlans: plans, numFitting: fitting } = plan.search ?? { numPlans: 0, numFitting: 0 };
  return (
    <>
      {front('dollars', say('pareto'), say('dollars'))}
      {front('peakMemoryBytes', say('paretoMemory'), say('gibibytes'))}
      <section class="card across">
        <h2>{say('candidates')}</h2>
        <p class="muted">{say('searchedFound', { plans, fitting })}</p>
        <Table
          label={say('candidates')}
          head={[
            ...[say('plan'), say('takeIt'), say('gpus'), say('step'), say('days'), say('cost')],
            ...[say('peakMemory'), say('why')],
          ]}
          rows={candidates.map((each) => [
            `${each.isBest ? '★ ' : ''}${each.label}`,
            <button
              key={each.label}
              type="button"
              aria-label={`${say('take')}: ${each.label}`}
              onClick={() => onTake(each)}
            >
              {say('takeIt')}
            </button>,
            String(each.numGpus),
            formatStep(each.stepSeconds),
            daysOf(each.days, say),
            formatDollars(each.dollars),
            formatBytes(each.peakMemoryBytes),
            each.reason,
          ])}
        />
      </section>
    </>
  );
}

function WhatIfs({ plan }: { readonly plan: PagePlan }): JSX.Element | null {
  const say = useWords(messages);
  if (plan.whatIfs.length === 0) return null;
  return (
    <section class="card across">
      <h2>{say('whatIfs')}</h2>
      <p class="muted">{say('whatIfsCaption')}</p>
      <Table
        label={say('whatIfs')}
        head={[say('change'), say('step'), say('mfu'), say('cost'), say('why')]}
        rows={plan.whatIfs.map(({ name, stepSeconds, mfuCausal, dollars, note }) => [
          name,
          formatStep(stepSeconds),
          formatPercent(mfuCausal, 2),
          formatDollars(dollars),
          note,
        ])}
      />
    </section>
  );
}

function Sources({ shown }: { readonly shown: PlanOnCluster }): JSX.Element {
  const say = useWords(messages);
  return (
    <Folded>
      <Table
        label={say('sources')}
        head={[say('what'), say('known'), say('error'), say('from')]}
        rows={[
          ...shown.report.sources.map(
            ({ what, source, relativeError, from }): [string, ...string[]] => [
              ...([wordsOf(what), source, formatError(relativeError), from] as const),
            ],
          ),
          ...Object.entries(shown.cluster.sources).map(
            ([path, { kind, note }]): [string, ...string[]] => [path, kind, '', note],
          ),
        ]}
      />
    </Folded>
  );
}
