/** The table of plans: columns in order, text quoted, numbers plain, formulas disarmed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sampleExtras, sampleReport, walkSample } from '../../tests/support/samplePlan.ts';
import { v3Plan } from '../../tests/support/v3Plan.ts';
import { planCsv, rowOfCandidate, rowOfReport } from './planCsv.ts';

const walked = walkSample();
const report = sampleReport(v3Plan, walked);
const { candidates } = sampleExtras(report, walked);

/** A reader of RFC 4180, by the letter. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let [row, cell, isQuoted]: [string[], string, boolean] = [[], '', false];
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? '';
    if (isQuoted && character === '"' && text[i + 1] === '"') {
      cell += '"';
      i++;
    } else if (character === '"') isQuoted = !isQuoted;
    else if (!isQuoted && character === ',') {
      row.push(cell);
      cell = '';
    } else if (!isQuoted && character === '\n') {
      rows.push([...row, cell]);
      [row, cell] = [[], ''];
    } else cell += character;
  }
  assert.equal(cell, '');
  return rows;
}

test('planCsv: what was chosen comes first, what came of it behind, one row a plan', () => {
  const rows = readCsv(
    planCsv([rowOfReport(report), ...candidates.map((each) => rowOfCandidate(report, each))]),
  );
  assert.equal(rows.length, 2 + candidates.length);
  const [header = [], first = []] = rows;
  assert.deepEqual(header.slice(0, 9), [
    'model',
    'cluster',
    'numGpus',
    'pp',
    'ep',
    'tp',
    'dp',
    'zeroStage',
    'schedule',
  ]);
  assert.ok(header.indexOf('mtp') < header.indexOf('stepSeconds'));
  const cellOf = (name: string): string => first[header.indexOf(name)] ?? '';
  assert.equal(cellOf('numMicroBatches'), '120');
  assert.ok(Math.abs(Number(cellOf('stepSeconds')) / report.stepSeconds - 1) < 1e-8);
  assert.ok(Math.abs(Number(cellOf('tokensPerDay')) / report.tokensPerDay - 1) < 1e-8);
  assert.ok(rows.every((row) => row.length === header.length));
});

test('planCsv: any name and reason come back, but that none begins a formula', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const rows = readCsv(planCsv([{ ...rowOfReport(report), model: text, reason: text }]));
      const [name = '', reason = ''] = [rows[1]?.[0], rows[1]?.at(-1)];
      assert.equal(name, reason);
      assert.ok(name === text || name === `'${text}`);
      assert.ok(!/^[=+@]/.test(name));
    }),
  );
  const rows = planCsv([{ ...rowOfReport(report), model: '=1+1', reason: 'a,"b"\nc', days: null }]);
  assert.ok(rows.includes("\n'=1+1,") && rows.includes('"a,""b""\nc"'), rows);
});
