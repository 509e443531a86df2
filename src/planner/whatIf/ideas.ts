/**
 * Hardware that does not exist yet, as the papers ask for it, each a change of a cluster or of what
 * a plan sends. An idea changes what its paper says and nothing else; where it must assume a number
 * of its own, `what` says it.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { applyWhatIf } from '../../config/clusters/whatIf.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';

export interface IdeaSubject {
  readonly cluster: ClusterSpec;
  readonly plan: TrainingPlan;
  /** Added to every step: what the idea itself takes. */
  readonly extraSeconds: number;
}

export interface Idea {
  readonly name: string;
  /** What is assumed, with its numbers. */
  readonly what: string;
  /** Paper and section. */
  readonly source: string;
  /** The subject unchanged where the idea has nothing to change. */
  readonly apply: (subject: IdeaSubject) => IdeaSubject;
  /** Why it may move nothing; taken where it does not. */
  readonly whyNothing: string;
}

const ISCA = 'Insights into DeepSeek-V3 (ISCA 2025)';

/** Of a rack of GB200, as NVIDIA builds it. */
const LARGE_DOMAIN = 72;
/** Memory stacked on logic: times the bandwidth. */
const STACKED_BANDWIDTH = 2;
/** Of an optical circuit switch; MEMS mirrors take some 10 ms (TopoOpt, NSDI 2023). */
const RECONFIGURATION_SECONDS = 10e-3;
/** From passes to gradients and back. */
const RECONFIGURATIONS = 2;

export const ideas: readonly Idea[] = [
  {
    name: 'fp32-accumulation',
    what: 'Tensor cores sum FP8 products in FP32: a 128 deep step costs what a BF16 step does.',
    source: `${ISCA}, 3.1`,
    apply: (subject) =>
      subject.cluster.gpu.peakFlops.fp8 === null
        ? subject
        : withSettings(subject, ['gpu.fp8Accumulation=fp32']),
    whyNothing: 'its products run in BF16, or are summed in FP32 already',
  },
  {
    name: 'communication-coprocessor',
    what: 'A processor for transfers: no SM is taken from computing, and none limits a copy.',
    source: `${ISCA}, 4.4; DeepSeek-V3 report, 3.5.1`,
    apply: (subject) => withSettings(subject, ['communicationSms=0']),
    whyNothing: 'no SM serves a transfer today, or no expert lies on another GPU',
  },
  {
    name: 'unified-network',
    what:
      'One network inside and between nodes: hardware forwards, copies and adds up, no SM does, ' +
      'and NICs reach their line rate.',
    source: `${ISCA}, 4.4`,
    apply: (subject) =>
      scaleOutOf(withSettings(subject, ['communicationSms=0']), { unifiedScaleUpOut: true }),
    whyNothing: 'nothing is forwarded between nodes for experts',
  },
  {
    name: 'larger-nvlink-domain',
    what:
      `NVLink among ${LARGE_DOMAIN} GPUs (or as many below as divide the cluster), ` +
      'as fast per GPU as today.',
    source: `${ISCA}, 4.3 and 4.4`,
    apply: (subject) => {
      const { gpusPerNode, numGpus, scaleUp } = subject.cluster;
      let size = Math.floor(LARGE_DOMAIN / gpusPerNode) * gpusPerNode;
      while (size > scaleUp.domainSize && numGpus % size !== 0) size -= gpusPerNode;
      if (size <= scaleUp.domainSize) return subject;
      return withSettings(subject, [`scaleUp.domainSize=${size}`]);
    },
    whyNothing: 'the domain is as large, or nothing that leaves it today is exposed',
  },
  {
    name: 'stacked-dram',
    what: `DRAM on top of the logic: ${STACKED_BANDWIDTH} times the memory bandwidth.`,
    source: `${ISCA}, 6.6`,
    apply: (subject) => withSettings(subject, [`gpu.memoryBytesPerSecond*=${STACKED_BANDWIDTH}`]),
    whyNothing: 'no kernel waits for memory',
  },
  combineIdea('fp8-combine', 'fp8', 'FP8 with a scale for 128 elements', `${ISCA}, 3.2`),
  combineIdea(
    'logfmt10-combine',
    'logfmt10',
    'LogFMT of 10 bits, coded by hardware',
    `${ISCA}, 3.2`,
  ),
  combineIdea('logfmt-combine', 'logfmt8', 'LogFMT of 8 bits, coded by hardware', `${ISCA}, 3.2`),
  {
    name: 'in-network-multicast',
    what: 'Switches copy one message to many receivers: a token leaves its NIC once.',
    source: `${ISCA}, 6.5`,
    apply: (subject) => scaleOutOf(subject, { inNetworkMulticast: true }),
    whyNothing:
      'with an even load a GPU receives as many rows as it sends, and copies made by switches ' +
      'still arrive',
  },
  {
    name: 'in-network-reduce',
    what: 'Switches add up what many send to one: an all-reduce passes each NIC once.',
    source: `${ISCA}, 6.5`,
    apply: (subject) => scaleOutOf(subject, { inNetworkReduce: true }),
    whyNothing:
      'gradients are scattered and weights gathered (ZeRO), which no switch shortens, and what ' +
      'it adds up for a combine has been sent all the same',
  },
  {
    name: 'changing-topology',
    what:
      'Circuits join who talks in a phase (experts in passes, replicas at the end): one hop, ' +
      `nothing blocked; ${RECONFIGURATIONS} changes a step, ${RECONFIGURATION_SECONDS * 1e3} ms ` +
      'each. A step that would lose by it does not change.',
    source: 'TopoOpt (NSDI 2023); MixNet (SIGCOMM 2025)',
    apply: (subject) => {
      if (subject.cluster.scaleOut.kind === 'none') return subject;
      const settings = ['scaleOut.oversubscription=1', 'scaleOut.hopLatencySeconds=0 s'];
      const changed = withSettings(subject, [...settings, 'scaleOut.routing=adaptive']);
      const extraSeconds = RECONFIGURATIONS * RECONFIGURATION_SECONDS;
      return { ...changed, extraSeconds: subject.extraSeconds + extraSeconds };
    },
    whyNothing: 'this fabric blocks little, and changing would cost more than it saves',
  },
];

export const ideaNames: readonly string[] = ideas.map(({ name }) => name);

/** @throws whatIf.idea with the nearest name */
export function findIdea(name: string): Idea {
  const found = ideas.find((idea) => idea.name === name.trim().toLowerCase());
  if (found !== undefined) return found;
  const near = nearestName(name, ideaNames);
  throw new MoebiusError('whatIf.idea', `there is no idea "${name}"`, {
    values: { name, ideas: ideaNames },
    hint: near === undefined ? `Use one of ${ideaNames.join(', ')}.` : `Did you mean "${near}"?`,
  });
}

function combineIdea(
  name: string,
  format: NonNullable<TrainingPlan['combineFormat']>,
  words: string,
  source: string,
): Idea {
  return {
    name,
    what: `Experts' results travel in ${words} and not in BF16.`,
    source,
    apply: (subject) => ({ ...subject, plan: { ...subject.plan, combineFormat: format } }),
    whyNothing: 'the way back from experts is hidden under computing already, or there is none',
  };
}

function withSettings(subject: IdeaSubject, settings: readonly string[]): IdeaSubject {
  return { ...subject, cluster: applyWhatIf(subject.cluster, settings) };
}

function scaleOutOf(subject: IdeaSubject, change: Partial<ClusterSpec['scaleOut']>): IdeaSubject {
  const { cluster } = subject;
  if (cluster.scaleOut.kind === 'none') return subject;
  return { ...subject, cluster: { ...cluster, scaleOut: { ...cluster.scaleOut, ...change } } };
}
