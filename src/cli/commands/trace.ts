/** `moebius trace`: what a recorded or simulated timeline says, as tables. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import {
  analyzeTrace,
  type DeviceReport,
  type PathReport,
  type PhaseReport,
  type TraceReport,
} from '../../simulator/trace/analyzeTrace.ts';
import { parseKernelRules } from '../../simulator/trace/kernelClasses.ts';
import { type Cell, formatTable, printResult } from '../output.ts';
import { readTrace } from '../readTrace.ts';

export interface TraceOptions {
  readonly device?: string;
  readonly rules?: string;
  readonly csv?: boolean;
  readonly json?: boolean;
}

export async function trace(path: string, options: TraceOptions): Promise<void> {
  const { rules: file } = options;
  const rules = file === undefined ? [] : parseKernelRules(await readFile(file, 'utf8'));
  const report = analyzeTrace(await readTrace(path), rules);
  const device = chooseDevice(report, options.device);
  const csvOf = options.device === undefined ? report.devices : [device];
  const table = options.csv === true ? classCsv(csvOf) : traceTables(report, { path, device });
  printResult(options, { table, json: { file: basename(path), ...report } });
}

function chooseDevice(report: TraceReport, wanted: string | undefined): DeviceReport {
  if (wanted === undefined) return at(report.devices, 0);
  const found = report.devices.find(({ id }) => id === wanted);
  if (found !== undefined) return found;
  const known = report.devices.map(({ id }) => id);
  throw new MoebiusError('trace.device', `the trace has no device "${wanted}"`, {
    values: { device: wanted },
    hint: `Use one of: ${known.slice(0, 32).join(', ')}${known.length > 32 ? ', …' : ''}.`,
  });
}

function traceTables(
  report: TraceReport,
  { path, device }: { path: string; device: DeviceReport },
): string {
  const isOne = report.devices.length === 1;
  return [
    headline(report, path),
    ...(isOne ? [] : [devicesTable(report)]),
    [isOne ? '' : `device ${device.id}`, streamsTable(device)].filter(Boolean).join('\n'),
    classesTable(device),
    overlapText(device),
    ...(device.phases.length === 0 ? [] : [phasesTable(device.phases)]),
    pathText(report),
    ...(report.notices.length === 0 ? [] : [report.notices.map((n) => `note: ${n}`).join('\n')]),
  ].join('\n\n');
}

function headline(report: TraceReport, path: string): string {
  const { kind, gpu, rank, worldSize, wallSeconds, devices } = report;
  const count = devices.reduce((sum, each) => sum + each.count, 0);
  const world = worldSize === null ? '' : ` of ${worldSize}`;
  return [
    `${basename(path)}: ${kind === 'profiler' ? 'a profile' : 'a timeline'} of ${ms(wallSeconds)}`,
    gpu === null ? '' : `${gpu.name} with ${gpu.numSms} SMs`,
    rank === null ? '' : `rank ${rank}${world}`,
    devices.length === 1 ? '' : `${devices.length} devices`,
    `${count.toLocaleString('en')} ${kind === 'profiler' ? 'kernels' : 'spans'}`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** More ranks than a screen takes are in the JSON. */
const MAX_DEVICES = 32;

function devicesTable({ devices }: TraceReport): string {
  const rows = devices
    .slice(0, MAX_DEVICES)
    .map(({ id, name, wallSeconds, overlap, bubbleSeconds }): Cell[] => [
      name === '' || name === id ? id : `${id} ${name}`,
      ms(wallSeconds),
      ms(overlap.computeBusySeconds),
      ms(overlap.communicationBusySeconds),
      share(overlap.hiddenShare),
      ms(bubbleSeconds),
    ]);
  const header = ['device', 'from first to last', 'computing', 'communication', 'hidden', 'bubble'];
  const rest = devices.length - MAX_DEVICES;
  return `${formatTable(rows, header)}${rest > 0 ? `\nand ${rest} more (--json has all)` : ''}`;
}

function streamsTable({ streams }: DeviceReport): string {
  const rows = streams.map((stream): Cell[] => [
    stream.id,
    stream.name === `stream ${stream.id}` ? '' : stream.name,
    stream.role,
    stream.count,
    ms(stream.busySeconds),
    ms(stream.idleSeconds),
    ms(stream.longestGapSeconds),
    stream.sms ?? '–',
  ]);
  const header = ['stream', '', 'role', 'spans', 'busy', 'idle', 'longest gap', 'SMs'];
  return formatTable(withoutEmpty(rows, 1), withoutEmpty([header], 1, rows)[0]);
}

/** Drops a column in which no row says anything. */
function withoutEmpty<T extends Cell>(
  rows: readonly (readonly T[])[],
  column: number,
  judged: readonly (readonly Cell[])[] = rows,
): T[][] {
  const isEmpty = judged.every((row) => row[column] === '');
  return rows.map((row) => row.filter((_, i) => !isEmpty || i !== column));
}

const BAR = 24;

function classesTable({ classes }: DeviceReport): string {
  const longest = classes[0]?.seconds ?? 0;
  const rows = classes.map(({ name, role, count, seconds, share: part, sms }): Cell[] => [
    name,
    role,
    count,
    ms(seconds),
    formatPercent(part),
    sms ?? '–',
    bar(longest === 0 ? 0 : seconds / longest),
  ]);
  return formatTable(rows, ['class', 'role', 'spans', 'time', 'share', 'SMs', '']);
}

function bar(part: number): string {
  const eighths = Math.round(part * BAR * 8);
  return '█'.repeat(eighths >> 3) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths & 7];
}

function overlapText({ overlap, longestIdle }: DeviceReport): string {
  const rows: Cell[][] = [
    ['computing', ms(overlap.computeBusySeconds), `idle ${ms(overlap.computeIdleSeconds)}`],
    ['communication', ms(overlap.communicationBusySeconds), hidden(overlap)],
    [
      '  moving data',
      ms(overlap.dataMovementSeconds),
      overlap.dataMovementHiddenShare === null
        ? ''
        : `${share(overlap.dataMovementHiddenShare)} hidden`,
    ],
    ['  waiting', ms(overlap.waitSeconds), ''],
    ['both at once', ms(overlap.bothBusySeconds), ''],
    ['nothing', ms(overlap.nothingBusySeconds), idleText(longestIdle)],
  ];
  return formatTable(rows, ['busy with', 'time', '']);
}

function hidden({ hiddenShare, exposedSeconds }: DeviceReport['overlap']): string {
  if (hiddenShare === null) return '';
  return `${share(hiddenShare)} hidden, ${ms(exposedSeconds)} exposed`;
}

function idleText(gaps: DeviceReport['longestIdle']): string {
  const first = gaps[0];
  if (first === undefined) return '';
  const where = `at ${ms(first.startSeconds)}`;
  return `longest ${ms(first.seconds)} ${where}, before ${first.before ?? 'the end'}`;
}

/** One row for a name; layers are averaged. */
function phasesTable(phases: readonly PhaseReport[]): string {
  const rows = [...Map.groupBy(phases, ({ name }) => name)].map(([name, group]): Cell[] => {
    const mean = (value: (phase: PhaseReport) => number): number =>
      group.reduce((sum, phase) => sum + value(phase), 0) / group.length;
    return [
      name,
      group.length,
      ms(mean(({ startSeconds, endSeconds }) => endSeconds - startSeconds)),
      ms(mean(({ busySeconds }) => busySeconds)),
      msOrNone(mean(({ dataMovementSeconds }) => dataMovementSeconds)),
      mainClasses(group),
    ];
  });
  return formatTable(rows, ['phase', 'times', 'mean span', 'busy', 'moves data', 'mostly']);
}

function mainClasses(phases: readonly PhaseReport[]): string {
  const totals = new Map<string, number>();
  for (const { secondsByClass } of phases) {
    for (const [name, time] of Object.entries(secondsByClass)) {
      totals.set(name, (totals.get(name) ?? 0) + (time ?? 0));
    }
  }
  return [...totals]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 2)
    .map(([name]) => name)
    .join(', ');
}

const METHODS: Readonly<Record<PathReport['method'], string>> = {
  recorded: 'dependencies as recorded',
  'wait-calls': 'between streams: guessed where the host had a stream wait',
  approximate: 'between streams: guessed, the trace names no dependency',
};

function pathText({ criticalPath: path, wallSeconds }: TraceReport): string {
  const { busySeconds, hostGapSeconds, otherGapSeconds } = path;
  const part = (seconds: number): string => share(wallSeconds === 0 ? 0 : seconds / wallSeconds);
  const classes = Object.entries(path.secondsByClass)
    .slice(0, 6)
    .map(([name, seconds]): Cell[] => [name, ms(seconds ?? 0), part(seconds ?? 0)]);
  const longest = path.longest
    .slice(0, 5)
    .map(({ startSeconds, seconds, device, stream, class: name }): Cell[] => [
      ms(startSeconds),
      ms(seconds),
      `${device}/${stream}`,
      name,
    ]);
  return [
    `critical path: ${path.numSpans} spans, ${ms(busySeconds)} busy (${part(busySeconds)}), ` +
      `${ms(hostGapSeconds)} for the host, ${ms(otherGapSeconds)} other gaps`,
    `(${METHODS[path.method]})`,
    formatTable(classes, ['class', 'on the path', 'of the wall']),
    '',
    formatTable(longest, ['at', 'longest', 'device/stream', 'class']),
  ].join('\n');
}

function classCsv(devices: readonly DeviceReport[]): string {
  const rows = devices.flatMap(({ id, classes }) =>
    classes.map(({ name, role, count, seconds, share: part }) =>
      [quoted(id), name, role, count, seconds, part].join(','),
    ),
  );
  return ['device,class,role,count,seconds,share', ...rows].join('\n');
}

function quoted(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function ms(seconds: number): string {
  if (seconds === 0) return '0 ms';
  return `${(seconds * 1e3).toFixed(seconds < 1e-3 ? 3 : 1)} ms`;
}

function msOrNone(seconds: number): string {
  return seconds === 0 ? '–' : ms(seconds);
}

function share(part: number | null): string {
  return part === null ? '–' : formatPercent(part);
}
