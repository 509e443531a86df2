/** A simulated step as Chrome traces on disk, one file for each class of ranks, piece by piece. */
import { createWriteStream } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PlannedTraining } from '../../planner/planTraining.ts';
import { chromeTraceFiles, type RankClass } from '../../program/chromeTrace.ts';
import { makeFolder } from '../../runtime/makeFolder.ts';

/** More ranks in one file than a viewer shows well. */
const RANKS_OF_A_FILE = 32;

/** @returns the files; beyond 32 ranks several, as step-ranks-0-to-31.json for step.json */
export async function writeTraces(
  path: string,
  { simulated, report }: PlannedTraining,
): Promise<readonly string[]> {
  const { spans, programs } = simulated;
  const { dp, tp } = report.plan.layout;
  const ranks = programs.map(({ rank }) => rank);
  const classes: RankClass[] = [];
  for (let first = 0; first < ranks.length; first += RANKS_OF_A_FILE) {
    const own = ranks.slice(first, first + RANKS_OF_A_FILE);
    classes.push({ name: `ranks-${own[0]}-to-${own.at(-1)}`, ranks: own, numAlike: dp * tp });
  }
  makeFolder(dirname(path));
  const { dir, name, ext } = parse(path);
  const written: string[] = [];
  for (const [i, file] of [...chromeTraceFiles({ spans, programs, classes })].entries()) {
    const target = classes.length === 1 ? path : join(dir, `${name}-${classes[i]?.name}${ext}`);
    await pipeline(Readable.from(file.pieces()), createWriteStream(target));
    written.push(target);
  }
  return written;
}
