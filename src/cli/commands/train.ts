/** `moebius train`: a recipe or a file, a run, and its figures. */
import { MoebiusError } from '../../base/errors.ts';
import { formatTable, note, printResult } from '../output.ts';
import { resolveTraining } from '../resolveTraining.ts';
import { runJson, runRows, runTraining } from '../runTraining.ts';
import { openRunPage, type RunPage } from '../studio/runPage.ts';
import { terminalWatch } from '../terminalWatch.ts';

export interface TrainOptions {
  readonly set?: readonly string[];
  readonly out?: string;
  readonly resume?: boolean;
  readonly ui?: boolean;
  readonly uiPort: number;
  readonly json?: boolean;
}

export async function train(recipeOrFile: string, options: TrainOptions): Promise<void> {
  const { config, derived } = resolveTraining(recipeOrFile, options.set);
  const directory = options.out ?? config.directory;
  const request = { config: { ...config, directory }, derived, resume: options.resume === true };
  // Before anything else: a port that is taken is told of at once.
  const page = options.ui === true ? await openUi(request.config, options.uiPort) : null;
  const run = await runTraining(request, terminalWatch()).finally(() => page?.studio.close());
  printResult(options, { table: formatTable(runRows(run)), json: runJson(run) });
  const { end, incident } = run.summary;
  if (end === 'requested') process.exitCode = 130;
  if (end !== 'fault') return;
  throw new MoebiusError('train.fault', `the guard stopped the run: ${incident?.what}`, {
    values: { ...incident },
    hint: 'Look at that tensor; or resume with --set guard.onFault=skip or =rollback.',
  });
}

async function openUi(config: Parameters<typeof openRunPage>[0], port: number): Promise<RunPage> {
  const page = await openRunPage(config, port, note);
  note(`studio at ${page.url}, until the run ends; afterwards: npx moebius studio ${page.folder}`);
  return page;
}
