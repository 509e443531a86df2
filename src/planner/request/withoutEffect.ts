/** What was asked for and changes nothing here: said, so that nobody takes it for counted in. */
import { isGqa } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import type { ResolvedPlan } from './planRequest.ts';
import { isSearch, type SearchOptions } from './searchSubject.ts';

type OtherOptions = SearchOptions & {
  readonly expertLoads?: readonly number[];
  readonly export?: string;
  readonly out?: string;
};

/** One line for each option without effect. */
export function withoutEffect(
  options: OtherOptions,
  { model, modelName }: Pick<ResolvedPlan, 'model' | 'modelName'>,
  { layout }: TrainingPlan,
): readonly string[] {
  const lines: string[] = [];
  const hasMtp = !isGqa(model) && model.numNextnPredictLayers > 0;
  if (!options.mtp && !hasMtp)
    lines.push(`--no-mtp changes nothing: ${modelName} has no MTP module`);
  if (options.expertLoads !== undefined && model.nRoutedExperts === 0) {
    lines.push(`--expert-loads changes nothing: ${modelName} has no experts`);
  }
  if (options.imbalance !== undefined && model.nRoutedExperts === 0) {
    lines.push(`--imbalance changes nothing: ${modelName} has no experts`);
  } else if (options.imbalance !== undefined && layout.ep === 1) {
    lines.push('--imbalance changes nothing: with ep 1 every rank has all experts');
  }
  if (isSearch(options) && options.chunks !== undefined) {
    lines.push('--chunks changes nothing: a search tries its own');
  }
  if (options.out !== undefined && options.export === undefined) {
    lines.push('--out changes nothing: it is the folder of --export');
  }
  return lines;
}
