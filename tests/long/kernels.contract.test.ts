/**
 * The whole contract of the kernels over everything that can run them here: every instruction set
 * with one thread and with two. `npm test` asks less of those that are not the machine's best.
 */
import { everyImplementation } from '../kernelContract/implementations.ts';
import { kernelContract } from '../kernelContract/kernelContract.ts';

kernelContract(everyImplementation);
