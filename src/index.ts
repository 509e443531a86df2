/**
 * Moebius as a library: DeepSeek-V3, whole, in TypeScript.
 *
 *     import { loadModel } from 'moebius';
 *     const model = await loadModel('checkpoint');
 *     for await (const text of model.generate('Once')) process.stdout.write(text);
 *
 * - Talking: `loadModel`
 * - Training: `resolveTraining` makes a config, `predictTraining` prices it, `trainModel` runs it
 * - Looking: `inspectModel`, `presets`, `parseModelConfig`
 * - Planning: `planTraining` of a model, a cluster and a plan; `planHtml` draws it
 * - Tokenizers: `loadTokenizer`, `trainBpe`, `saveTokenizerJson`, chat templates
 *
 * Mistakes of the caller are `MoebiusError`s with a stable `code`. Nothing prints, and nothing is
 * random but by a seed.
 */
export { type ErrorCode, MoebiusError } from './base/errors.ts';
export type { Completion, Generation } from './cli/generation.ts';
export {
  type InspectedModel,
  type InspectModelOptions,
  inspectModel,
  type ModelFigures,
  type ModelPart,
  type StoredFacts,
} from './cli/inspectModel.ts';
export {
  type GenerateOptions,
  type LoadedModel,
  type LoadModelOptions,
  loadModel,
} from './cli/loadModel.ts';
export type { FamilyWork } from './cli/priceStep.ts';
export { type ResolvedTraining, resolveTraining } from './cli/resolveTraining.ts';
export {
  type PredictedTraining,
  predictTraining,
  type TrainedModel,
  type TrainModelOptions,
  trainModel,
} from './cli/trainModel.ts';
export type { ClusterSpec } from './config/clusterSpec.ts';
export { findCluster, withNumGpus } from './config/clusters/clusters.ts';
export { parseClusterSpec } from './config/clusters/parseClusterSpec.ts';
export { applyWhatIf } from './config/clusters/whatIf.ts';
export type { GqaModelConfig, PlannedModel } from './config/gqaModelConfig.ts';
export type { ModelConfig } from './config/modelConfig.ts';
export { type ParallelPlan, parseLayout, type TrainingPlan } from './config/parallelPlan.ts';
export { parseModelConfig } from './config/parseModelConfig.ts';
export { parsePlannedModel } from './config/parsePlannedModel.ts';
export { parseTrainConfig } from './config/parseTrainConfig.ts';
export { findPlannedModel } from './config/presets/dense.ts';
export { presets } from './config/presets/presets.ts';
export { serializeModelConfig } from './config/serializeModelConfig.ts';
export type { TrainConfig } from './config/trainConfig.ts';
export { planHtml } from './planner/html/planHtml.ts';
export type { PlanExtras } from './planner/planExtras.ts';
export type { PlanReport } from './planner/planReport.ts';
export { type PlannedTraining, type PlanningInput, planTraining } from './planner/planTraining.ts';
export {
  type DecodeOptions,
  type EncodeOptions,
  loadTokenizer,
  type Tokenizer,
} from './tokenizer/byteLevelBpe.ts';
export {
  type ChatMessage,
  ChatTemplate,
  type EncodeChatOptions,
  encodeChat,
  type RenderOptions,
} from './tokenizer/chatTemplate.ts';
export { readTokenizerConfig, type TokenizerConfig } from './tokenizer/tokenizerConfig.ts';
export { type BpeVocabulary, saveTokenizerJson } from './tokenizer/tokenizerFile.ts';
export { type TrainBpeOptions, type TrainedBpe, trainBpe } from './tokenizer/trainBpe.ts';
export type { TrainingEvent, TrainingObserver, TrainingSummary } from './training/events.ts';
