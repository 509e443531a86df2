/** The fit, its residuals, its file, and putting it on prices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { annotation, kernel, launch, traceOf } from '../../tests/support/traceFixture.ts';
import { MoebiusError } from '../base/errors.ts';
import { kernelFactors } from './applyCalibration.ts';
import {
  type CalibratedClass,
  type Calibration,
  type CalibrationResult,
  calibrate,
  type PredictedWork,
} from './calibrate.ts';
import { parseCalibration, serializeCalibration } from './calibrationFile.ts';
import { type MeasuredClasses, measureClasses } from './trace/measureClasses.ts';

const about = {
  madeOn: '2026-11-22',
  source: { trace: 't', gpu: null, model: 'm', cluster: 'c', layout: 'pp1', layers: 1 },
} as const;

function price(name: string, pass: PredictedWork['pass'], seconds: number): PredictedWork {
  return { class: name, pass, seconds, flops: seconds * 1e12, bytes: 0, limitSeconds: seconds / 2 };
}

function measuredOf(
  work: MeasuredClasses['work'],
  byLayer: MeasuredClasses['byLayer'] = new Map(),
): MeasuredClasses {
  return { work, byLayer, numDevices: 1, unpricedSeconds: 0 };
}

function fit(measured: MeasuredClasses, predicted: readonly PredictedWork[]): CalibrationResult {
  return calibrate(measured, predicted, about);
}

function only({ calibration }: CalibrationResult): CalibratedClass {
  const [found] = calibration.classes;
  assert.ok(found !== undefined && calibration.classes.length === 1);
  return found;
}

test('calibrate: what is one factor off comes back as that factor, without residual', () => {
  const passes = ['forward', 'backwardInput', 'backwardWeight'] as const;
  const times = fc.double({ min: 1e-5, max: 10, noNaN: true });
  fc.assert(
    fc.property(fc.array(times, { minLength: 2, maxLength: 3 }), times, (prices, factor) => {
      const predicted = prices.map((each, i) => price('norm', passes[i] ?? 'forward', each));
      const work = predicted.map(({ pass, seconds }) => ({
        class: 'norm' as const,
        pass,
        count: 2,
        seconds: seconds * factor,
      }));
      const found = only(fit(measuredOf(work), predicted));
      assert.ok(Math.abs(found.factor / factor - 1) < 1e-9);
      assert.ok((found.residual ?? 1) < 1e-6);
      assert.equal(found.count, 2 * prices.length);
      assert.ok(Math.abs(found.flopsPerSecond * found.factor - 1e12) < 1e4);
    }),
  );
});

test('calibrate: the factor keeps the total, the residual is what passes leave open', () => {
  const work = [
    { class: 'norm', pass: 'forward', count: 1, seconds: 1 },
    { class: 'norm', pass: 'backwardInput', count: 1, seconds: 4 },
  ] as const;
  const layers = new Map([['norm', [2, 3]]] as const);
  const predicted = [price('norm', 'forward', 1), price('norm', 'backwardInput', 1)];
  const found = only(fit(measuredOf(work, layers), predicted));
  assert.equal(found.factor, 2.5);
  // Half of the price is 0.4 of what is expected, half is 1.6: ± 60 %.
  assert.ok(Math.abs((found.residual ?? 0) - 0.6) < 1e-12);
  const spread = Math.SQRT1_2 / 2.5;
  assert.ok(Math.abs((found.spread ?? 0) - spread) < 1e-12);
  assert.ok(Math.abs((found.relativeError ?? 0) - Math.hypot(0.6, spread)) < 1e-12);
});

test('calibrate: prices of passes that the trace lacks do not count', () => {
  const work = [{ class: 'norm', pass: 'forward', count: 1, seconds: 3 }] as const;
  const predicted = [price('norm', 'forward', 2), price('norm', 'backwardInput', 50)];
  assert.equal(only(fit(measuredOf(work), predicted)).factor, 1.5);
});

test('calibrate: without a phase for weight gradients they are part of backward', () => {
  const backward = { pass: 'backwardInput', count: 1 } as const;
  const work = [
    { class: 'bf16Gemm', ...backward, seconds: 6 },
    { class: 'fp8WeightGradient', ...backward, seconds: 5 },
  ] as const;
  const predicted = [
    price('bf16Gemm', 'backwardInput', 2),
    price('bf16Gemm', 'backwardWeight', 1),
    price('fp8WeightGradient', 'backwardWeight', 2),
  ];
  const { classes } = fit(measuredOf(work), predicted).calibration;
  assert.deepEqual(
    classes.map(({ factor }) => factor),
    [2, 2.5],
  );
});

test('calibrate: BF16 products of all kinds are one class in a trace, and one factor', () => {
  const work = [
    { class: 'bf16Gemm', pass: 'forward', count: 3, seconds: 6 },
    { class: 'bf16Gemm', pass: 'backwardWeight', count: 1, seconds: 6 },
  ] as const;
  const predicted = [
    price('bf16Gemm', 'forward', 1),
    price('bf16GroupedGemm', 'forward', 3),
    price('bf16WeightGradient', 'backwardWeight', 4),
  ];
  const { calibration } = fit(measuredOf(work), predicted);
  assert.deepEqual(
    calibration.classes.map(({ name, factor, shareOfLimit }) => [name, factor, shareOfLimit]),
    [['bf16Gemm', 1.5, 1 / 3]],
  );
  const factors = kernelFactors(calibration);
  for (const name of ['bf16Gemm', 'bf16GroupedGemm', 'bf16WeightGradient'] as const) {
    assert.equal(factors[name]?.factor, 1.5);
  }
});

test('calibrate: one number alone has no error to tell', () => {
  const work = [{ class: 'norm', pass: null, count: 1, seconds: 3 }] as const;
  const found = only(fit(measuredOf(work), [price('norm', 'forward', 2)]));
  assert.deepEqual([found.factor, found.relativeError, found.residual], [1.5, null, null]);
});

test('calibrate: what only one side has is listed, and a factor beyond reason is told', () => {
  const work = [
    { class: 'norm', pass: 'forward', count: 1, seconds: 8 },
    { class: 'rope', pass: 'forward', count: 1, seconds: 1 },
  ] as const;
  const { calibration, unpredicted, unmeasured, notices } = fit(measuredOf(work), [
    price('norm', 'forward', 2),
    price('loss', 'forward', 5),
  ]);
  assert.deepEqual(
    calibration.classes.map(({ name }) => name),
    ['norm'],
  );
  assert.deepEqual(unpredicted, [{ name: 'rope', seconds: 1 }]);
  assert.deepEqual(unmeasured, [{ name: 'loss', seconds: 5 }]);
  assert.deepEqual(notices, ['norm is 4.00 times its price: check model, layout and layers']);
});

test('calibrate: without any common class it is refused', () => {
  const work = [{ class: 'norm', pass: 'forward', count: 1, seconds: 8 }] as const;
  assert.throws(
    () => fit(measuredOf(work), [price('loss', 'forward', 5)]),
    (error) => error instanceof MoebiusError && error.code === 'calibrate.noMatch',
  );
});

test('measureClasses: passes from annotations, layers from their repetition, shared time once', () => {
  const names = ['attn(F)', 'attn(B)', 'attn(F)', 'attn(B)'];
  const events = names.flatMap((name, i) => [
    annotation({ name, ts: i * 100, dur: 90 }),
    launch({ correlation: 2 * i + 1, ts: i * 100 + 1 }),
    launch({ correlation: 2 * i + 2, ts: i * 100 + 2 }),
    kernel({ name: 'rms_norm', ts: 1000 + i * 100, dur: 20, correlation: 2 * i + 1 }),
    kernel({ name: 'rms_norm', ts: 1010 + i * 100, dur: 20, stream: 8, correlation: 2 * i + 2 }),
  ]);
  const dispatch = 'deep_ep::internode::dispatch<1>';
  const { work, byLayer, unpricedSeconds } = measureClasses(
    traceOf([
      ...events,
      kernel({ name: dispatch, ts: 1000, dur: 30, stream: 27 }),
      kernel({ name: 'deep_ep::internode::notify_dispatch<1>', ts: 1030, dur: 7, stream: 27 }),
    ]),
  );
  const rounded = work.map((each) => ({ ...each, seconds: Math.round(each.seconds * 1e6) }));
  assert.deepEqual(rounded, [
    { class: 'norm', pass: 'forward', count: 4, seconds: 60 },
    { class: 'norm', pass: 'backwardInput', count: 4, seconds: 60 },
    { class: 'dispatch', pass: null, count: 1, seconds: 30 },
  ]);
  assert.deepEqual(
    [...byLayer].map(([name, layers]) => [name, layers.map((each) => Math.round(each * 1e6))]),
    [['norm', [60, 60]]],
  );
  assert.equal(Math.round(unpricedSeconds * 1e6), 7);
});

function example(): Calibration {
  const work = [
    { class: 'norm', pass: 'forward', count: 1, seconds: 1 },
    { class: 'norm', pass: 'backwardInput', count: 1, seconds: 4 },
    { class: 'rope', pass: null, count: 1, seconds: 4 },
  ] as const;
  const prices = ['norm', 'rope'].map((name) => price(name, 'forward', 2));
  return fit(measuredOf(work), [...prices, price('norm', 'backwardInput', 2)]).calibration;
}

test('calibration file: what was written is read back', () => {
  const calibration = example();
  assert.deepEqual(parseCalibration(serializeCalibration(calibration), 'f'), calibration);
});

test('calibration file: damage is refused by its place', () => {
  const good = JSON.parse(serializeCalibration(example())) as Record<string, unknown>;
  const [first] = good.classes as Record<string, unknown>[];
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    ['{', 'calibration.invalid', /no JSON/],
    [[], 'calibration.invalid', /no object/],
    [{ ...good, format: 'x' }, 'calibration.invalid', /"format"/],
    [{ ...good, version: 2 }, 'calibration.version', /version 2/],
    [{ ...good, madeOn: 3 }, 'calibration.invalid', /"madeOn"/],
    [{ ...good, source: null }, 'calibration.invalid', /"source"/],
    [{ ...good, classes: {} }, 'calibration.invalid', /"classes" is no array/],
    [{ ...good, classes: [first, first] }, 'calibration.invalid', /"norm" twice/],
    [{ ...good, classes: [{ ...first, factor: 0 }] }, 'calibration.invalid', /classes\[0\].factor/],
    [
      { ...good, classes: [{ ...first, factor: -1 }] },
      'calibration.invalid',
      /classes\[0\].factor/,
    ],
    [{ ...good, classes: [{ ...first, spread: '3' }] }, 'calibration.invalid', /spread/],
  ];
  for (const [value, code, message] of cases) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    assert.throws(
      () => parseCalibration(text, 'f.json'),
      (error) =>
        error instanceof MoebiusError && error.code === code && message.test(error.message),
      text.slice(0, 80),
    );
  }
});
