/**
 * A flow simulation of one all-to-all over all GPUs of a cluster: CPU seconds and memory.
 *
 *   node bench/networkFlows.ts [--gpus 2048] [--routing static]
 *
 * ASTRA-sim's analytical back end takes 88 CPU seconds and 3.9 GB for 2,048 ranks.
 */
import { parseArgs } from 'node:util';
import { findCluster } from '../src/config/clusters/clusters.ts';
import { foldFlows } from '../src/simulator/network/foldFlows.ts';
import { simulateFlows } from '../src/simulator/network/maxMin.ts';
import { buildTopology } from '../src/simulator/network/topology.ts';
import { groupsOf } from '../src/simulator/network/traffic.ts';

const { values } = parseArgs({
  options: {
    gpus: { type: 'string', default: '2048' },
    routing: { type: 'string', default: 'static' },
  },
});
const numGpus = Number(values.gpus);
const before = process.cpuUsage();
const preset = findCluster(`h800x${numGpus}`);
const routing = values.routing === 'adaptive' ? 'adaptive' : 'static';
const topology = buildTopology({ ...preset, scaleOut: { ...preset.scaleOut, routing } });
const groups = groupsOf({ size: numGpus, stride: 1, numGpus });
const folded = foldFlows({ topology, traffic: { kind: 'allToAll', groups, bytes: 1e6 } });
if (folded === null) throw new Error('an all-to-all folds');
const { seconds } = simulateFlows(folded.problem);
const { user, system } = process.cpuUsage(before);
const cpuSeconds = (user + system) / 1e6;
console.log(
  `${folded.numFlows} flows in ${folded.problem.count.length} classes: ` +
    `${(seconds * 1e3).toFixed(3)} ms simulated, ${cpuSeconds.toFixed(2)} CPU-s, ` +
    `${(process.memoryUsage().rss / 1e6).toFixed(0)} MB`,
);
