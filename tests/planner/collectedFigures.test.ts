/**
 * The audit against the collection of published figures that it was written from, where that lies
 * beside the project (`../shared`, or `MOEBIUS_SHARED`): verdicts of all claims, config by config.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { figureGroups, findGroup } from '../../src/planner/figures/audit.ts';
import { judge, type Quantity, type Verdict } from '../../src/planner/figures/figure.ts';
import { projectRoot } from '../support/projectFiles.ts';

const { MOEBIUS_SHARED = join(projectRoot, '..', 'shared') } = process.env;
const path = join(MOEBIUS_SHARED, 'reference', 'published-figures.json');
const skip = existsSync(path) ? false : `it is not at ${path}`;

interface Collection {
  readonly seeds: readonly { readonly seed: string; readonly verdict: string }[];
  readonly configs: Readonly<
    Record<string, { readonly derived: Readonly<Record<string, number>> }>
  >;
}

function readCollection(): Collection {
  return JSON.parse(readFileSync(path, 'utf8')) as Collection;
}

function verdictOf(words: string): Verdict {
  if (/^(?:OK|APPROX|EARLY)/.test(words)) return 'agrees';
  if (/^(?:GARBLED|UNIT SLIP)/.test(words)) return 'garbled';
  if (/^(?:NOT IN PAPER|UNVERIFIED|NOT REPRODUCED)/.test(words)) return 'not reproducible';
  assert.equal(words, 'INVENTED');
  return 'invented';
}

function quantitiesOf(id: string): readonly Quantity[] {
  const figure = figureGroups.flatMap(({ figures }) => figures).find((each) => each.id === id);
  assert.ok(figure?.basis.kind === 'numbers', id);
  return figure.basis.quantities;
}

test('The collection: every claim of its articles is judged as there', { skip }, () => {
  const { seeds } = readCollection();
  assert.deepEqual(
    findGroup('articles').figures.map((figure) => [figure.source, judge(figure)]),
    seeds.map(({ seed, verdict }) => [`SEED${Number(seed)}`, verdictOf(verdict)]),
  );
});

test('The collection: derived numbers of every config are ours to the last digit', { skip }, () => {
  const { configs } = readCollection();
  const ids = findGroup('models')
    .figures.map(({ id }) => id)
    .filter((id) => id.endsWith('.derived'));
  assert.equal(ids.length, Object.keys(configs).length);
  for (const [i, { derived }] of Object.values(configs).entries()) {
    const ours = quantitiesOf(ids[i] ?? '').map((quantity) => quantity.ours);
    const [total = 0, without = 0, head = 0, both = 0, cache, flops = 0] = ours;
    assert.deepEqual(
      [total, without, head, both].map((billions) => Math.round(billions * 1e9)),
      [derived.total, derived.active_no_embed, derived.active_plus_head, derived.active_plus_both],
      ids[i],
    );
    assert.equal(cache, derived.kv_bytes_per_token_bf16);
    assert.equal(Number(flops.toFixed(3)), derived.gflop_per_token_causal_4k);
  }
});
