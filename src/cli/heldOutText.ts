/** The text that a checkpoint of this program never trained on, as its own run held it out. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TextDocument } from '../base/document.ts';
import { parseTrainConfig } from '../config/parseTrainConfig.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import { readJson } from '../runtime/openModel.ts';
import { note } from './output.ts';
import { prepareText } from './prepareTraining.ts';

/** The run that made the checkpoint, if this program did. */
export async function trainedWith(checkpoint: string): Promise<TrainConfig | null> {
  const path = join(checkpoint, 'train.json');
  return existsSync(path) ? parseTrainConfig(await readJson(path), path) : null;
}

/** null where another program made the checkpoint. */
export async function heldOutText(checkpoint: string): Promise<readonly TextDocument[] | null> {
  const trained = await trainedWith(checkpoint);
  return trained === null ? null : (await prepareText(trained, note)).validation;
}
