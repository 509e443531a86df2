/** A run watched from a terminal: facts on standard output, progress on standard error, Ctrl-C. */
import { note, print } from './output.ts';
import type { RunWatch } from './runTraining.ts';
import { terminalObserver } from './terminalObserver.ts';

export function terminalWatch(): RunWatch {
  return {
    note,
    showFacts: print,
    observer: terminalObserver({
      write: (text) => process.stderr.write(text),
      isTerminal: process.stderr.isTTY === true,
    }),
    stopOn: stopOnSignals,
  };
}

/** The first signal ends the run after the step with a checkpoint, the second at once. */
function stopOnSignals(stop: () => void): () => void {
  let signals = 0;
  const onSignal = (): void => {
    signals++;
    if (signals > 1) process.exit(130);
    note('\nstopping after this step, with a checkpoint (once more: at once)');
    stop();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
}
