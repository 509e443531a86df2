/**
 * Two rooms state the tensors of a checkpoint: `checkpoint/` to verify files, `model/` to place
 * them in memory. Neither may import the other, so a law holds them together, down to every shape.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { findPreset, presetNames } from '../../src/config/presets/presets.ts';
import { parameterLayout, wholeModel } from '../../src/model/parameterLayout.ts';
import { tinyVariants } from '../support/tinyConfig.ts';

for (const [name, config] of everyConfig()) {
  test(`${name}: the model places exactly the tensors that checkpoints have`, () => {
    const placed = new Map<string, string>();
    for (const spec of parameterLayout(config, wholeModel(config))) {
      for (const piece of spec.pieces) {
        if (piece.role === 'alias') continue;
        assert.ok(!placed.has(piece.name), `${piece.name} lies in one place`);
        const kind = spec.isTrained ? piece.role : 'routerBias';
        placed.set(piece.name, `${kind} [${piece.shape}]`);
      }
    }
    const stored = new Map<string, string>();
    for (const { name: tensor, shape, kind } of checkpointTensors(config)) {
      if (kind === 'scale') continue;
      stored.set(tensor, `${kind === 'weight' ? 'own' : kind} [${shape}]`);
    }
    assert.equal(placed.size, stored.size);
    for (const [tensor, what] of stored) assert.equal(placed.get(tensor), what, tensor);
  });

  test(`${name}: the pieces of a packed parameter fill it without gap or overlap`, () => {
    for (const spec of parameterLayout(config, wholeModel(config))) {
      const own = spec.pieces.filter((piece) => piece.role === 'own');
      let nextRow = 0;
      for (const piece of own) {
        assert.equal(piece.firstRow, nextRow, piece.name);
        nextRow += piece.shape.length === 1 ? 1 : (piece.shape[0] ?? 0);
      }
      const rows = spec.shape.slice(0, -1).reduce((product, dim) => product * dim, 1);
      if (own.length > 0) assert.equal(nextRow, rows, spec.name);
    }
  });
}

function everyConfig(): [string, ModelConfig][] {
  const presets = presetNames.map((name): [string, ModelConfig] => [name, findPreset(name)]);
  return [...Object.entries(tinyVariants), ...presets];
}
