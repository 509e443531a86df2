/**
 * Greedy decoding against an independent implementation: prompts run the plain way, every later
 * token in the absorbed form over a paged cache, drafts from the MTP module with a cache of its
 * own. The smallest gap between first and second logit is 1.9e-3; float32 noise is 1e-5.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import { goldenJson, goldenRoot } from '../support/golden.ts';
import { kernelsUnderTest, loadGoldenModel } from '../support/goldenModel.ts';
import { decodeGreedy, decodeSpeculatively } from '../support/greedyDecoder.ts';

interface Run {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
  readonly mtp_draft?: readonly { readonly hidden_pos: number; readonly draft: number }[];
  readonly spec_depth1?: {
    readonly main_passes_including_prefill: number;
    readonly drafts_accepted: number;
    readonly tokens_per_pass: readonly number[];
  };
}

const FOLDERS = ['v3-tiny', 'v2-lite-tiny', 'v3-tiny-trained'].filter((folder) =>
  existsSync(join(goldenRoot, folder, 'decode.json')),
);

for (const kernels of kernelsUnderTest()) {
  for (const folder of FOLDERS) {
    const golden = goldenJson(`${folder}/decode.json`) as Run & { readonly runs?: readonly Run[] };
    const runs = golden.runs ?? [golden];

    const decoded = (async () => {
      const loaded = await loadGoldenModel(kernels, folder);
      const all = [];
      for (const { prompt, generated } of runs) {
        all.push(await decodeGreedy(loaded, prompt, generated.length));
      }
      return all;
    })();

    test(`${folder} on ${kernels.name}: greedy decoding is golden`, async () => {
      const generated = (await decoded).map((each) => each.generated);
      assert.deepEqual(
        generated,
        runs.map((run) => run.generated),
      );
    });

    if (runs.every(({ mtp_draft }) => mtp_draft === undefined)) continue;

    test(`${folder} on ${kernels.name}: every MTP draft is golden`, async () => {
      for (const [i, { prompt, mtp_draft = [] }] of runs.entries()) {
        const { drafts } = at(await decoded, i);
        for (const { hidden_pos, draft } of mtp_draft) {
          assert.equal(drafts[hidden_pos - (prompt.length - 1)], draft, `behind ${hidden_pos}`);
        }
      }
    });

    test(`${folder} on ${kernels.name}: speculation takes golden passes`, async () => {
      const loaded = await loadGoldenModel(kernels, folder);
      for (const { prompt, generated, spec_depth1 } of runs) {
        const actual = await decodeSpeculatively(loaded, prompt, generated.length);
        assert.deepEqual(actual.generated, generated);
        assert.deepEqual(actual.tokensPerPass, spec_depth1?.tokens_per_pass);
        assert.equal(actual.numAccepted, spec_depth1?.drafts_accepted);
        const passes = spec_depth1?.main_passes_including_prefill;
        assert.equal(actual.tokensPerPass.length, passes);
      }
    });
  }
}
