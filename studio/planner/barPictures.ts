/** Pictures of bars: a step's phases, what its dollars pay for, the memory of each rank. */
import { formatBytes } from '../../src/base/units.ts';
import { linearScale, type Scale, textWidth } from '../../src/planner/html/scales.ts';
import { memoryParts } from '../../src/planner/memoryParts.ts';
import { phaseNames } from '../../src/planner/phaseNames.ts';
import type { RankReport, StepPhases } from '../../src/planner/planReport.ts';
import { formatDollars, formatStep, formatTick } from '../../src/planner/quantities.ts';
import { type Picture, type Shape, textAt, ticksFor } from './shapes.ts';

const ROW = 30;
const BAR = 20;
const FOOT = 24;

export interface PhaseBar {
  readonly name: string;
  readonly phases: StepPhases;
}

/** Phases of one step or of several, one under another on one axis of seconds. */
export function phasePicture(bars: readonly PhaseBar[], width: number): Picture {
  return barPicture(
    bars.map(({ name, phases }) => ({
      name,
      parts: phaseNames.map(({ key, kind }) => ({
        tone: kind,
        value: phases[key],
        title: `${name}, ${key}: ${formatStep(phases[key])}`,
      })),
    })),
    { width, format: (seconds) => `${formatTick(seconds)} s` },
  );
}

export interface CostBar extends PhaseBar {
  readonly dollars: number;
}

/** What the money pays for: GPUs cost the same whatever they do, so it follows the phases. */
export function costPicture(bars: readonly CostBar[], width: number): Picture {
  return barPicture(
    bars.map(({ name, phases, dollars }) => {
      const costs = costOfPhases({ phases, dollars });
      const parts = phaseNames.map(({ key, kind }) => ({
        tone: kind,
        value: costs[key],
        title: `${name}, ${key}: ${formatDollars(costs[key])}`,
      }));
      return { name, parts };
    }),
    { width, format: (dollars) => `$${formatTick(dollars)}` },
  );
}

/** Dollars split as a step's time is. */
export function costOfPhases({ phases, dollars }: Omit<CostBar, 'name'>): StepPhases {
  const seconds = secondsOf(phases);
  const costs = phaseNames.map(({ key }) => [key, (Math.max(0, phases[key]) / seconds) * dollars]);
  return Object.fromEntries(costs) as unknown as StepPhases;
}

/** What is left over when phases are taken from a step may be a hair below nothing: not counted. */
export function secondsOf(phases: StepPhases): number {
  return phaseNames.reduce((sum, { key }) => sum + Math.max(0, phases[key]), 0);
}

interface Bar {
  readonly name: string;
  readonly parts: readonly Part[];
}

interface Part {
  readonly tone: string;
  readonly value: number;
  readonly title: string;
}

/** Bars of parts, one under another, on one axis from nothing on. */
function barPicture(
  bars: readonly Bar[],
  { width, format }: { readonly width: number; readonly format: (value: number) => string },
): Picture {
  const left = marginFor(bars.map(({ name }) => name));
  const totals = bars.map(({ parts }) =>
    parts.reduce((sum, { value }) => sum + Math.max(0, value), 0),
  );
  const x = linearScale(
    { from: 0, to: Math.max(...totals) },
    { from: left, to: width - 24 },
    ticksFor(width),
  );
  const height = bars.length * ROW + FOOT;
  return {
    ...{ width, height },
    shapes: [
      ...axisBelow(x, { bottom: height - FOOT, format }),
      ...bars.flatMap(({ name, parts }, index): readonly Shape[] => {
        const y = index * ROW;
        return [textAt({ x: left - 8, y: y + 15 }, name, 'end'), ...stacked(parts, { x: x.at, y })];
      }),
    ],
  };
}

export interface MemoryQuestion {
  readonly ranks: readonly Pick<RankReport, 'rank' | 'memoryBytes' | 'memory'>[];
  readonly capacityBytes: number;
  /** The same of another plan: a stroke at each rank, and its line. */
  readonly before?: Omit<MemoryQuestion, 'before'>;
}

/** What each rank holds at its fullest, and the line that it must not cross. */
export function memoryPicture(question: MemoryQuestion, width: number): Picture {
  const { ranks, capacityBytes, before } = question;
  const step = ranks.length > 24 ? 12 : 20;
  const left = marginFor(ranks.map(({ rank }) => String(rank)));
  const bytes = [...ranks, ...(before?.ranks ?? [])].map(({ memoryBytes }) => memoryBytes);
  const most = Math.max(capacityBytes, before?.capacityBytes ?? 0, ...bytes);
  const x = linearScale(
    { from: 0, to: most / GIBI },
    { from: left, to: width - 12 },
    ticksFor(width),
  );
  const height = ranks.length * step + FOOT;
  const upright = (value: number, tone: string, rows = { from: 0, to: height - FOOT }): Shape => ({
    ...{ kind: 'line', tone },
    points: [
      { x: x.at(value / GIBI), y: rows.from },
      { x: x.at(value / GIBI), y: rows.to },
    ],
  });
  return {
    ...{ width, height },
    shapes: [
      ...axisBelow(x, { bottom: height - FOOT, format: (v) => `${formatTick(v)} GiB` }),
      ...ranks.flatMap(({ rank, memory }, index): readonly Shape[] => {
        const y = index * step;
        const parts = memoryParts.map(({ key, kind, name }) => ({
          tone: kind,
          value: memory[key] / GIBI,
          title: `${rank}, ${name}: ${formatBytes(memory[key])}`,
        }));
        const bars = stacked(parts, { x: x.at, y, height: step - 4 });
        const isNamed = step > 12 || index % 4 === 0;
        const name = textAt({ x: left - 8, y: y + step - 7 }, String(rank), 'end');
        return isNamed ? [name, ...bars] : bars;
      }),
      ...(before?.ranks ?? []).map(({ memoryBytes }, index) =>
        upright(memoryBytes, 'before', { from: index * step, to: (index + 1) * step - 2 }),
      ),
      ...(before === undefined || before.capacityBytes === capacityBytes
        ? []
        : [upright(before.capacityBytes, 'limitBefore')]),
      upright(capacityBytes, 'limit'),
    ],
  };
}

const GIBI = 2 ** 30;

function stacked(
  parts: readonly Part[],
  place: { readonly x: (value: number) => number; readonly y: number; readonly height?: number },
): readonly Shape[] {
  let sum = 0;
  return parts.flatMap(({ tone, value, title }): readonly Shape[] => {
    // What is left over when phases are taken from a step may be a hair below nothing.
    const [from, to] = [place.x(sum), place.x(sum + Math.max(0, value))];
    sum += Math.max(0, value);
    if (to <= from) return [];
    const box = { x: from, y: place.y + 1, width: to - from, height: place.height ?? BAR };
    return [{ kind: 'bar', ...box, tone, title }];
  });
}

function axisBelow(
  { at, ticks }: Scale,
  { bottom, format }: { readonly bottom: number; readonly format: (value: number) => string },
): readonly Shape[] {
  return ticks.flatMap((tick): readonly Shape[] => [
    {
      kind: 'line',
      points: [
        { x: at(tick), y: 0 },
        { x: at(tick), y: bottom },
      ],
      tone: 'grid',
    },
    textAt({ x: at(tick), y: bottom + 16 }, format(tick), 'middle'),
  ]);
}

/** Chinese is twice as wide as what `textWidth` knows. */
function marginFor(names: readonly string[]): number {
  const widthOf = (name: string): number => textWidth(name.replace(/[\u2e80-\uffef]/g, 'xx'));
  return Math.min(150, 16 + Math.max(...names.map(widthOf), 0));
}
