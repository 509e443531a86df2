/** An instruction in a person's words, for refusals that name it and for labels of a timeline. */
import type { TrainingInstruction } from './instruction.ts';

export function describeInstruction(instruction: TrainingInstruction): string {
  switch (instruction.kind) {
    case 'forward':
    case 'backward':
    case 'backwardInput':
    case 'backwardWeight':
      return `${instruction.kind} ${ofPass(instruction)}`;
    case 'forwardBackward':
      return `forward ${ofPass(instruction.forward)} with backward ${ofPass(instruction.backward)}`;
    case 'send':
    case 'recv': {
      const { kind, content, peer } = instruction;
      const way = kind === 'send' ? 'to' : 'from';
      return `${kind} ${content} ${ofPass(instruction)} ${way} rank ${peer}`;
    }
    default:
      return instruction.kind;
  }
}

function ofPass({ stage, microBatch }: { readonly stage: number; readonly microBatch: number }) {
  return `of stage ${stage}, micro-batch ${microBatch}`;
}
