/** Runs the garbage collector until what nobody refers to any more is gone. */
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Finalisers run between turns of the event loop, and may let go of more. */
export async function collect(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    await setImmediate();
  }
}
