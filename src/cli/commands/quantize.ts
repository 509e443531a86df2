/** `moebius quantize`: a checkpoint in BF16, F16 or F32 to FP8 blocks, and what that costs. */
import { existsSync } from 'node:fs';
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes, formatCount, formatSeconds } from '../../base/units.ts';
import { machineClock } from '../../runtime/clock.ts';
import { quantizeCheckpoint } from '../../runtime/quantizeCheckpoint.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { progressLine } from '../progressLine.ts';
import { openMachine } from '../wiring.ts';

export interface QuantizeCommandOptions {
  readonly kernels?: string;
  readonly json?: boolean;
}

/** @throws quantize.noName, quantize.exists, and those of `quantizeCheckpoint` */
export async function quantize(
  from: string,
  to: string,
  options: QuantizeCommandOptions,
): Promise<void> {
  if (to.trim() === '') {
    throw new MoebiusError('quantize.noName', 'the folder to write has no name', {
      values: { to },
      hint: 'Name a folder that is not there yet.',
    });
  }
  if (existsSync(to)) {
    throw new MoebiusError('quantize.exists', `${to} is there already`, {
      values: { to },
      hint: 'Remove it, or name another folder.',
    });
  }
  const machine = openMachine({ kernels: options.kernels, note });
  const start = machineClock.now();
  const report = progressLine('quantizing');
  const result = await quantizeCheckpoint({
    from,
    to,
    kernels: machine.kernels,
    ...(machine.mapFile === undefined ? {} : { mapFile: machine.mapFile }),
    onProgress: (bytes, totalBytes) => report({ bytes, totalBytes }),
  });
  const seconds = machineClock.now() - start;
  const { bytesBefore, bytesAfter, classes } = result;
  const rows = classes.map(({ name, tensors, elements, relativeRms, largest }): Cell[] => [
    name,
    tensors,
    formatCount(elements),
    `${(100 * relativeRms).toFixed(2)} %`,
    largest.toExponential(1),
  ]);
  const table = formatTable(rows, ['weights', 'tensors', 'elements', 'error, RMS', 'largest']);
  const sizes = `${formatBytes(bytesBefore)} of weights became ${formatBytes(bytesAfter)}`;
  printResult(options, {
    table: `${table}\n\n${sizes} in ${to}, ${formatSeconds(seconds)}; opened and verified`,
    json: { from, to, seconds, ...result },
  });
}
