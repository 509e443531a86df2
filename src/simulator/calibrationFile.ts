/**
 * A calibration as a file: JSON, with its format and version first, read back without trust.
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { CalibratedClass, Calibration, CalibrationSource } from './calibrate.ts';
import { costClasses } from './trace/costClasses.ts';

export function serializeCalibration(calibration: Calibration): string {
  return `${JSON.stringify(calibration, null, 2)}\n`;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * @param source the file's name, for messages
 * @throws calibration.invalid naming the key, calibration.version for a later format
 */
export function parseCalibration(text: string, source: string): Calibration {
  const refuse: Refuse = (message, values = {}) => {
    throw new MoebiusError('calibration.invalid', `${source}: ${message}`, {
      values,
      hint: 'Write the file with moebius calibrate --out.',
    });
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return refuse('it is no JSON', { reason: (cause as Error).message });
  }
  const file = objectOf(json, 'the file', refuse);
  if (file.format !== 'moebius-calibration') {
    return refuse('"format" is not moebius-calibration', { format: file.format });
  }
  if (file.version !== 1) {
    throw new MoebiusError('calibration.version', `${source} has version ${file.version}`, {
      values: { version: file.version, known: 1 },
      hint: 'Make the calibration again with this version of moebius.',
    });
  }
  const { classes } = file;
  if (!Array.isArray(classes)) return refuse('"classes" is no array');
  const read = classes.map((each: unknown, i) => readClass(each, `classes[${i}]`, refuse));
  const twice = read.find(({ name }, i) => read.findIndex((each) => each.name === name) !== i);
  if (twice !== undefined) return refuse(`"classes" has "${twice.name}" twice`);
  return {
    format: 'moebius-calibration',
    version: 1,
    madeOn: textOf(file, 'madeOn', refuse),
    source: readSource(objectOf(file.source, '"source"', refuse), refuse),
    classes: read,
  };
}

type Refuse = (message: string, values?: Readonly<Record<string, unknown>>) => never;

function readClass(value: unknown, place: string, refuse: Refuse): CalibratedClass {
  const json = objectOf(value, place, refuse);
  const number = (key: string, min: number): number => {
    const given = json[key];
    if (typeof given === 'number' && Number.isFinite(given) && given >= min) return given;
    return refuse(`${place}.${key} is no number of at least ${min}`, { [key]: given });
  };
  const perhaps = (key: string): number | null => (json[key] === null ? null : number(key, 0));
  const name = textOf(json, 'name', refuse);
  if (!costClasses.some((known) => known === name)) {
    const nearest = nearestName(name, costClasses);
    return refuse(`${place}.name "${name}" is no class of the cost model`, { name, nearest });
  }
  const factor = number('factor', 0);
  if (factor === 0) return refuse(`${place}.factor is 0`, { factor });
  return {
    name,
    factor,
    relativeError: perhaps('relativeError'),
    residual: perhaps('residual'),
    spread: perhaps('spread'),
    count: number('count', 0),
    measuredSeconds: number('measuredSeconds', 0),
    predictedSeconds: number('predictedSeconds', 0),
    flopsPerSecond: number('flopsPerSecond', 0),
    bytesPerSecond: number('bytesPerSecond', 0),
    shareOfLimit: number('shareOfLimit', 0),
  };
}

function readSource(json: Json, refuse: Refuse): CalibrationSource {
  const { gpu, layers } = json;
  if (gpu !== null && typeof gpu !== 'string') return refuse('source.gpu is no text', { gpu });
  if (typeof layers !== 'number') return refuse('source.layers is no number', { layers });
  return {
    trace: textOf(json, 'trace', refuse),
    gpu,
    model: textOf(json, 'model', refuse),
    cluster: textOf(json, 'cluster', refuse),
    layout: textOf(json, 'layout', refuse),
    layers,
  };
}

function objectOf(value: unknown, place: string, refuse: Refuse): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  return refuse(`${place} is no object`, { value });
}

function textOf(json: Json, key: string, refuse: Refuse): string {
  const value = json[key];
  return typeof value === 'string' ? value : refuse(`"${key}" is no text`, { [key]: value });
}
