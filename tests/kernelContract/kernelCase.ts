/**
 * A case of the contract: a sentence, the shapes it holds for, and how one of them is laid out.
 * fast-check draws shapes (edge sizes often), from a fixed seed, and shrinks what fails.
 */
import fc from 'fast-check';
import { assert, at } from '../../src/base/assert.ts';
import type { Kernels, Layout } from '../../src/kernels/kernels.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { isSame } from './codes.ts';
import { type OracleMemory, type WeightDType, Workbench } from './workbench.ts';

/**
 * `whole`: every shape, close and strided. `part`: a third of the drawn ones, and of those that are
 * always tried each once; for kernels that are the sources of others, compiled another time.
 */
export type Effort = 'whole' | 'part';

export interface Workplace {
  readonly kernels: Kernels;
  readonly arena: Arena;
  /** How many of a case's shapes are tried. */
  readonly effort: Effort;
  /** Answers of oracles to the same case on other kernels. */
  readonly memory: OracleMemory;
}

export interface KernelCase {
  /** A sentence with the operation first. */
  readonly name: string;
  readonly verify: (workplace: Workplace) => Promise<void>;
}

export function kernelCase<Shape>(args: {
  readonly name: string;
  readonly shapes: fc.Arbitrary<Shape>;
  readonly lay: (bench: Workbench, shape: NoInfer<Shape>) => void;
  readonly runs?: number;
  /** Shapes that are tried besides the drawn ones: those that cross a block of a fast kernel. */
  readonly always?: readonly NoInfer<Shape>[];
}): KernelCase {
  const { name, shapes, lay, runs = 25, always = [] } = args;
  const verify = async ({ kernels, arena, effort, memory }: Workplace): Promise<void> => {
    const base = arena.mark();
    const once = async (shape: Shape, seed: number, isStrided: boolean): Promise<void> => {
      const key = `${JSON.stringify(shape)} ${seed} ${isStrided}`;
      const outputs = [];
      for (const compares of [true, false]) {
        try {
          const bench = new Workbench({ kernels, arena, seed, isStrided, memory, key });
          lay(bench, shape);
          outputs.push(await bench.finish({ compares }));
        } finally {
          arena.release(base);
        }
      }
      const [first, second] = [at(outputs, 0), at(outputs, 1)];
      first.forEach((values, i) => {
        assert(isSame(values, at(second, i)), `output ${i} differs from run to run`);
      });
    };
    const property = fc.asyncProperty(shapes, fc.nat(), fc.boolean(), once);
    const both = always.flatMap((shape): [Shape, number, boolean][] => [
      [shape, 1, false],
      [shape, 2, true],
    ]);
    const isWhole = effort === 'whole';
    // Of each pair one, in turns: 0, 3, 4, 7, ….
    const examples = isWhole ? both : both.filter((_, i) => i % 4 === 0 || i % 4 === 3);
    const numRuns = (isWhole ? runs : Math.ceil(runs / 3)) + examples.length;
    await fc.assert(property, { seed: 20250801, numRuns, examples });
  };
  return { name, verify };
}

/** Sizes around the widths of vectors and tiles, and any other. */
export function size(max: number): fc.Arbitrary<number> {
  const edges = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129];
  const fitting = edges.filter((edge) => edge <= max);
  return fc.oneof(fc.constantFrom(...fitting), fc.integer({ min: 1, max }));
}

/** The same, and none. */
export function sizeOrNone(max: number): fc.Arbitrary<number> {
  return fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 9, arbitrary: size(max) });
}

export const layouts: fc.Arbitrary<Layout> = fc.constantFrom('nt', 'nn', 'tn');

export const weightDTypes: fc.Arbitrary<WeightDType> = fc.constantFrom(
  'f32',
  'bf16',
  'f16',
  'f8e4m3',
);

/** Row offsets of sequences; empty ones too. */
export function sequenceOffsets(args: {
  readonly maxCount: number;
  readonly maxLength: number;
}): fc.Arbitrary<number[]> {
  const lengths = fc.array(sizeOrNone(args.maxLength), { minLength: 1, maxLength: args.maxCount });
  return lengths.map((all) => {
    const offsets = [0];
    for (const length of all) offsets.push(at(offsets, offsets.length - 1) + length);
    return offsets;
  });
}
