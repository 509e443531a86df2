/**
 * Neighbours of a model: experts, experts per token, node limit, width of an expert, latent rank,
 * layers, varied under a budget of parameters or FLOPs. Where a change would leave the budget, a
 * dial that nobody varied is turned until it is met again: the width of an expert, else layers.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { activeParameters, countParameters, flopsPerToken } from '../../config/modelCounts.ts';
import { validateModelConfig } from '../../config/validateModelConfig.ts';

export type ShapeAxis =
  | 'nRoutedExperts'
  | 'numExpertsPerTok'
  | 'topkGroup'
  | 'moeIntermediateSize'
  | 'kvLoraRank'
  | 'numHiddenLayers';

export const shapeAxes: readonly ShapeAxis[] = [
  'nRoutedExperts',
  'numExpertsPerTok',
  'topkGroup',
  'moeIntermediateSize',
  'kvLoraRank',
  'numHiddenLayers',
];

export type ShapeValues = Partial<Readonly<Record<ShapeAxis, readonly number[]>>>;

export interface ShapeBudget {
  readonly of: 'totalParameters' | 'activeParameters' | 'flopsPerToken';
  /** By which share of the model's own a shape may be off. */
  readonly tolerance: number;
}

export interface ShapeQuestion {
  readonly model: ModelConfig;
  /** By default a half and twice the model's own of every axis, where that makes sense. */
  readonly values?: ShapeValues;
  /** `each`: one axis at a time, the default; `all`: every combination. */
  readonly vary?: 'each' | 'all';
  readonly budget: ShapeBudget;
  /** Tokens of a sequence: attention's FLOPs depend on it. */
  readonly sequenceLength: number;
}

export interface ModelShape {
  /** "nRoutedExperts 128, moeIntermediateSize 4096"; the model's own has none. */
  readonly label: string;
  readonly model: ModelConfig;
}

export interface RefusedShape {
  readonly label: string;
  readonly why: string;
}

export interface ModelShapes {
  /** The model's own first. */
  readonly shapes: readonly ModelShape[];
  readonly refused: readonly RefusedShape[];
}

type Changes = Partial<Record<ShapeAxis, number>>;

/** @throws shapes.axis for values that are no whole numbers above 0; shapes.tolerance */
export function modelShapes(question: ShapeQuestion): ModelShapes {
  const { model, budget, vary = 'each' } = question;
  const values = question.values ?? neighbours(model);
  checkQuestion(values, budget);
  const shapes: ModelShape[] = [{ label: 'as it is', model }];
  const refused: RefusedShape[] = [];
  const seen = new Set([JSON.stringify(model)]);
  for (const changes of vary === 'each' ? oneByOne(values) : combined(values)) {
    const changed = withBudget(question, changes, Object.keys(values) as ShapeAxis[]);
    const key = JSON.stringify(changed);
    if (seen.has(key)) continue;
    seen.add(key);
    const label = labelOf(model, changed);
    const why = complaint(question, changed);
    if (why === null) shapes.push({ label, model: changed });
    else refused.push({ label, why });
  }
  return { shapes, refused };
}

/** Half and twice as much of everything but layers, of which a quarter less and more. */
function neighbours(model: ModelConfig): ShapeValues {
  const hasExperts = model.nRoutedExperts > 0;
  const around = (value: number): number[] => [value / 2, value * 2].filter(Number.isInteger);
  const layers = Math.round(model.numHiddenLayers / 4);
  const limits = [1, 2, 4, 8].filter((limit) => limit <= model.nGroup);
  return {
    ...(hasExperts && {
      nRoutedExperts: around(model.nRoutedExperts),
      numExpertsPerTok: around(model.numExpertsPerTok),
      topkGroup: limits,
      moeIntermediateSize: around(model.moeIntermediateSize),
    }),
    kvLoraRank: around(model.kvLoraRank),
    numHiddenLayers: [model.numHiddenLayers - layers, model.numHiddenLayers + layers],
  };
}

function* oneByOne(values: ShapeValues): Generator<Changes> {
  for (const axis of shapeAxes) {
    for (const value of values[axis] ?? []) yield { [axis]: value };
  }
}

function* combined(values: ShapeValues, from = 0): Generator<Changes> {
  const axis = shapeAxes[from];
  if (axis === undefined) {
    yield {};
    return;
  }
  for (const rest of combined(values, from + 1)) {
    const own = values[axis];
    if (own === undefined) yield rest;
    for (const value of own ?? []) yield { [axis]: value, ...rest };
  }
}

/** Products of FP8 and tensor cores want widths of whole blocks. */
const WIDTH_STEP = 128;

function withBudget(
  question: ShapeQuestion,
  changes: Changes,
  varied: readonly ShapeAxis[],
): ModelConfig {
  const { model } = question;
  const changed: ModelConfig = { ...model, ...changes };
  const isFree = (axis: ShapeAxis): boolean =>
    !(axis in changes) && (question.vary !== 'all' || !varied.includes(axis));
  const own = budgetOf(question, model);
  const dials: { axis: ShapeAxis; candidates: number[] }[] = [];
  if (model.nRoutedExperts > 0 && isFree('moeIntermediateSize')) {
    dials.push({ axis: 'moeIntermediateSize', candidates: multiples(WIDTH_STEP, 256) });
  }
  if (isFree('numHiddenLayers')) {
    dials.push({ axis: 'numHiddenLayers', candidates: multiples(1, 256) });
  }
  const off = (shape: ModelConfig): number => Math.abs(budgetOf(question, shape) / own - 1);
  let best = changed;
  for (const { axis, candidates } of dials) {
    if (off(best) <= question.budget.tolerance) break;
    for (const value of candidates) {
      if (axis === 'numHiddenLayers' && value <= model.firstKDenseReplace) continue;
      const shape = { ...changed, [axis]: value };
      if (off(shape) < off(best)) best = shape;
    }
  }
  return best;
}

function multiples(step: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i + 1) * step);
}

export function budgetOf(
  { budget, sequenceLength }: Pick<ShapeQuestion, 'budget' | 'sequenceLength'>,
  model: ModelConfig,
): number {
  switch (budget.of) {
    case 'totalParameters':
      return countParameters(model).total;
    case 'activeParameters':
      return activeParameters(model).withHead;
    case 'flopsPerToken':
      return flopsPerToken(model, {
        ...{ context: sequenceLength, causal: true },
        ...{ mtp: false, training: true },
      });
    default:
      return budget.of satisfies never;
  }
}

function complaint(question: ShapeQuestion, shape: ModelConfig): string | null {
  const { model, budget } = question;
  const share = budgetOf(question, shape) / budgetOf(question, model) - 1;
  if (Math.abs(share) > budget.tolerance) {
    const much = formatPercent(Math.abs(share));
    const allowed = formatPercent(budget.tolerance);
    const where = share > 0 ? 'above' : 'below';
    return `${budget.of} are ${much} ${where} the model's, ${allowed} are allowed`;
  }
  return configComplaint(shape);
}

/** The validator refuses by throwing; here a refusal is a row. */
function configComplaint(shape: ModelConfig): string | null {
  try {
    validateModelConfig(shape, 'a shape');
    return null;
  } catch (error) {
    if (error instanceof MoebiusError) return error.message;
    throw error;
  }
}

function labelOf(model: ModelConfig, shape: ModelConfig): string {
  const changed = shapeAxes.filter((axis) => shape[axis] !== model[axis]);
  return changed.map((axis) => `${axis} ${shape[axis]}`).join(', ');
}

function checkQuestion(values: ShapeValues, budget: ShapeBudget): void {
  for (const axis of shapeAxes) {
    const wrong = (values[axis] ?? []).find((value) => !Number.isSafeInteger(value) || value < 1);
    if (wrong === undefined) continue;
    throw new MoebiusError('shapes.axis', `${axis} cannot be ${wrong}`, {
      values: { [axis]: wrong },
      hint: `Give ${axis} whole numbers above 0.`,
    });
  }
  if (budget.tolerance >= 0 && budget.tolerance < 1) return;
  throw new MoebiusError('shapes.tolerance', `a tolerance of ${budget.tolerance} is none`, {
    values: { tolerance: budget.tolerance },
    hint: 'Give a share from 0 to below 1: 0.02 allows 2 %.',
  });
}

/** `nRoutedExperts=128,256` as typed. */
export function parseShapeValues(texts: readonly string[]): ShapeValues {
  const values: Partial<Record<ShapeAxis, readonly number[]>> = {};
  for (const text of texts) {
    const [name = '', list = ''] = text.split('=');
    const axis = shapeAxes.find((each) => each === name.trim());
    if (axis === undefined || list.trim() === '') {
      throw new MoebiusError('shapes.axis', `"${text}" names no axis with its values`, {
        values: { text, axes: shapeAxes },
        hint: `Write it as in ${at(shapeAxes, 0)}=128,256; axes are ${shapeAxes.join(', ')}.`,
      });
    }
    values[axis] = list.split(',').map(Number);
  }
  return values;
}
