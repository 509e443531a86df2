/**
 * Plans the training of a model on a cluster that one does not have.
 *
 *     node --conditions=moebius-source examples/07-plan.ts [MODEL] [CLUSTER] [LAYOUT]
 */
import { applyWhatIf, findCluster, findPlannedModel, parseLayout, planTraining } from 'moebius';

const [modelName = 'deepseek-v3', clusterName = 'h800x2048', layout = 'pp16,ep64,zero1'] =
  process.argv.slice(2);

const model = findPlannedModel(modelName);
const today = findCluster(clusterName);
const plan = {
  layout: parseLayout(layout, today.numGpus),
  schedule: 'dualpipe',
  chunksPerRank: 2,
  globalBatch: 15360,
  microBatchSize: 1,
  sequenceLength: 4096,
  precision: 'fp8',
  recompute: 'v3',
  mtp: true,
} as const;

const faster = applyWhatIf(today, ['scaleOut.nicBytesPerSecond*=2']);
for (const cluster of [today, faster]) {
  const { report } = planTraining({ modelName, model, plan, cluster, totalTokens: 14.8e12 });
  const { stepSeconds, mfuCausal, days, peakMemoryBytes } = report;
  console.log(
    `${cluster.name}: ${stepSeconds.toFixed(2)} s a step, MFU ${(100 * mfuCausal).toFixed(1)} %, ` +
      `${days?.toFixed(1)} days, ${(peakMemoryBytes / 2 ** 30).toFixed(1)} GiB on the fullest GPU`,
  );
}
