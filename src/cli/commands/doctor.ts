/**
 * `moebius doctor`: what this machine and this installation can do, and what to do about what they
 * cannot. It measures the machine's limits, since every speed that is printed is a share of them.
 */
import { availableParallelism, freemem, totalmem } from 'node:os';
import { formatBytes } from '../../base/units.ts';
import { describeNative, measureRoofline } from '../../kernels/native.ts';
import { loadAddon, nativeOptionsFromEnvironment } from '../../runtime/loadAddon.ts';
import { type Cell, formatTable, printResult } from '../output.ts';
import { openMachine } from '../wiring.ts';

export async function doctor(options: { readonly json?: boolean }): Promise<void> {
  const rows: Cell[][] = [
    ['node', `${process.version} (${process.platform} ${process.arch})`],
    ['cores', availableParallelism()],
    ['memory', `${formatBytes(totalmem())}, ${formatBytes(freemem())} free`],
  ];
  const json: Record<string, unknown> = {
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  };
  const machine = openMachine();
  json.kernels = machine.kernels.name;
  if (machine.addon === null) {
    const loaded = loadAddon();
    rows.push(['kernels', machine.description]);
    const reason = 'reason' in loaded ? loaded.reason : 'MOEBIUS_KERNELS asks for them';
    rows.push(['why not native', reason]);
    json.reason = reason;
    json.threads = machine.threads;
  } else {
    const native = nativeOptionsFromEnvironment();
    const { isa, isas, threads } = describeNative(machine.addon, native);
    const roofline = measureRoofline(machine.addon, { ...native, seconds: 0.3 });
    const gflops = roofline.flopsPerSecond / 1e9;
    rows.push(
      ['kernels', 'native (C++)'],
      ['instruction set', `${isa}${others(isa, isas)}`],
      ['threads', threads],
      ['FMA peak', `${gflops.toFixed(0)} GFLOP/s`],
      ['memory read', `${(roofline.readBytesPerSecond / 1e9).toFixed(1)} GB/s`],
      ['memory copied', `${(roofline.copyBytesPerSecond / 1e9).toFixed(1)} GB/s`],
    );
    json.isa = isa;
    json.isas = isas;
    json.threads = threads;
    json.fmaPeakGflops = gflops;
    json.readBytesPerSecond = roofline.readBytesPerSecond;
    json.copyBytesPerSecond = roofline.copyBytesPerSecond;
  }
  printResult(options, { table: formatTable(rows), json });
}

function others(isa: string, isas: readonly string[]): string {
  const rest = isas.filter((each) => each !== isa);
  return rest.length === 0 ? '' : ` (also ${rest.join(', ')}; MOEBIUS_ISA chooses)`;
}
