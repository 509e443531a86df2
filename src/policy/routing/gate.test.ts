/** Which rule a config names, and which configs name none. The numbers are in tests/model/gate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyV2, tinyV3 } from '../../../tests/support/tinyConfig.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { gateRule, hasRouterBias } from './gate.ts';

test('noaux_tc scores groups by their two best and carries a bias', () => {
  assert.deepEqual(gateRule(tinyV3), {
    scoring: 'sigmoid',
    numGroups: 4,
    groupsKept: 2,
    groupScore: 'sumOfTopTwo',
    expertsPerToken: 3,
    isNormalised: true,
    scale: 2.5,
  });
  assert.ok(hasRouterBias(tinyV3));
});

test('group_limited_greedy scores groups by their best, and greedy has no groups', () => {
  const grouped: ModelConfig = {
    ...tinyV2,
    topkMethod: 'group_limited_greedy',
    nGroup: 4,
    topkGroup: 2,
  };
  assert.equal(gateRule(grouped).groupScore, 'max');
  assert.equal(gateRule(grouped).numGroups, 4);
  // Files of plain greedy models state groups all the same; they mean nothing there.
  const plain = gateRule({ ...grouped, topkMethod: 'greedy' });
  assert.deepEqual([plain.numGroups, plain.groupsKept], [1, 1]);
  assert.ok(!hasRouterBias(grouped));
});

test('A rule that leaves a token without experts to choose from is refused', () => {
  const wrong: readonly Partial<ModelConfig>[] = [
    { nGroup: 3 },
    { nGroup: 0 },
    { topkGroup: 5 },
    { topkGroup: 0 },
    { numExpertsPerTok: 5 },
    { numExpertsPerTok: 0 },
    { numExpertsPerTok: 2.5 },
    { nGroup: 8, topkGroup: 8 },
    { routedScalingFactor: 0 },
    { routedScalingFactor: Number.NaN },
    { nRoutedExperts: 0 },
  ];
  for (const change of wrong) {
    assert.throws(
      () => gateRule({ ...tinyV3, ...change }),
      { code: 'config.invalid' },
      JSON.stringify(change),
    );
  }
});

test('Groups of one expert are fine where a group is worth its best', () => {
  const config: ModelConfig = {
    ...tinyV3,
    topkMethod: 'group_limited_greedy',
    nGroup: 8,
    topkGroup: 4,
  };
  assert.equal(gateRule(config).numGroups, 8);
});
