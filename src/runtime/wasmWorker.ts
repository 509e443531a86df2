/** A thread of the WebAssembly kernels in Node: started by `loadWasm.ts`, ends with the process. */
import { workerData } from 'node:worker_threads';
import type { WorkerSeat } from '../kernels/wasm/instance.ts';
import { runWorker } from '../kernels/wasm/worker.ts';

runWorker(workerData as WorkerSeat);
