/**
 * The audit of what is said about DeepSeek-V3: every published or claimed figure that can be
 * computed, in five groups, with its verdict. Articles come first, since they are the ones that
 * got things wrong.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { blogPost } from './blogPost.ts';
import {
  agrees,
  type Figure,
  type GroupNumber,
  judge,
  type Quantity,
  toleranceOf,
  type Verdict,
  verdicts,
} from './figure.ts';
import { closestText } from './figureText.ts';
import { models } from './models.ts';
import { networks } from './networks.ts';
import { newsPiece } from './newsPiece.ts';
import { paper } from './paper.ts';
import { reportModel } from './reportModel.ts';
import { reportRun } from './reportRun.ts';
import { slides } from './slides.ts';
import { systems } from './systems.ts';

export interface FigureGroup {
  readonly number: GroupNumber;
  /** As `--group` takes it. */
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
}

export const figureGroups: readonly FigureGroup[] = [
  {
    number: 1,
    name: 'articles',
    title: 'what articles say',
    figures: [...newsPiece, ...slides, ...blogPost],
  },
  {
    number: 2,
    name: 'report',
    title: 'V3 report, and its kin',
    figures: [...reportModel, ...reportRun],
  },
  {
    number: 3,
    name: 'paper',
    title: 'hardware paper, ISCA 2025',
    figures: [...paper, ...networks],
  },
  { number: 4, name: 'systems', title: 'serving, profile, kernels', figures: systems },
  { number: 5, name: 'models', title: 'models of the architecture', figures: models },
];

/** What the short names of sources stand for. */
export const sourceNames: readonly (readonly [string, string])[] = [
  ['SEED0', 'a Chinese news piece on the ISCA paper'],
  ['SEED1', 'a Chinese slide deck on cost and MFU'],
  ['SEED2', 'a Chinese blog post on training V3'],
  ['V3', 'DeepSeek-V3 technical report, arXiv 2412.19437'],
  ['ISCA', 'Insights into DeepSeek-V3, ISCA 2025, arXiv 2505.09343'],
  ['V2', 'DeepSeek-V2 report, arXiv 2405.04434'],
  ['V32', 'DeepSeek-V3.2-Exp report'],
  ['D6', 'overview of the inference system, open-source week, day 6'],
  ['DUALPIPE', 'DualPipe, code'],
  ['PROFILE', 'profile-data, training trace'],
  ['FLASHMLA, DEEPEP, DEEPGEMM', 'README files of these projects'],
  ['DEMO, HF', 'README of the weights, on GitHub and on Hugging Face'],
  ['MOONLIGHT', 'Moonlight report'],
];

/** By number or name. @throws figures.group naming the nearest one */
export function findGroup(wanted: string): FigureGroup {
  const found = figureGroups.find(
    ({ number, name }) => String(number) === wanted || name === wanted,
  );
  if (found !== undefined) return found;
  const names = figureGroups.map(({ name }) => name);
  const near = nearestName(wanted, names);
  throw new MoebiusError('figures.group', `there is no group "${wanted}"`, {
    values: { group: wanted },
    hint:
      near === undefined
        ? `Take a number from 1 to 5, or one of ${names.join(', ')}.`
        : `Did you mean ${near}?`,
  });
}

export type VerdictCounts = Readonly<Record<Verdict, number>>;

export function countVerdicts(figures: readonly Figure[]): VerdictCounts {
  const counts = Object.fromEntries(verdicts.map((verdict) => [verdict, 0])) as Record<
    Verdict,
    number
  >;
  for (const figure of figures) counts[judge(figure)]++;
  return counts;
}

export interface QuantityRecord {
  readonly name: string;
  readonly said: string;
  readonly unit: string;
  readonly ours: number;
  /** Allowed distance in the unit; null where the claim is a bound. */
  readonly tolerance: number | null;
  readonly agrees: boolean;
  /** What gives the printed number instead. */
  readonly slip: string | null;
}

/** A figure with its verdict, as `--json` prints it. */
export interface FigureRecord {
  readonly id: string;
  readonly group: GroupNumber;
  readonly source: string;
  readonly claim: string;
  readonly formula: string;
  readonly verdict: Verdict;
  /** Empty where the claim has no number to compute. */
  readonly quantities: readonly QuantityRecord[];
  /** What is said and what the sources say, where no number was computed. */
  readonly said: string | null;
  readonly instead: string | null;
  readonly note: string | null;
}

export function figureRecord(figure: Figure): FigureRecord {
  const { id, group, source, claim, formula, basis, note } = figure;
  return {
    id,
    group,
    source,
    claim,
    formula,
    verdict: judge(figure),
    quantities: basis.kind === 'numbers' ? basis.quantities.map(quantityRecord) : [],
    said: basis.kind === 'numbers' ? null : basis.said,
    instead: insteadOf(figure),
    note: note ?? null,
  };
}

function quantityRecord(quantity: Quantity): QuantityRecord {
  const { name = '', said, unit, ours, slip } = quantity;
  const isRight = agrees(quantity);
  return {
    name,
    said,
    unit,
    ours,
    tolerance: toleranceOf(quantity),
    agrees: isRight,
    slip: isRight ? null : (slip?.name ?? null),
  };
}

function insteadOf({ basis }: Figure): string | null {
  switch (basis.kind) {
    case 'numbers':
      return null;
    case 'statement':
      return basis.source;
    case 'nowhere':
      return basis.closest.length === 0 ? null : basis.closest.map(closestText).join(', ');
    default:
      return basis satisfies never;
  }
}
