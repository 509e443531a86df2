/**
 * Loaded before every test file: random properties start from one seed, so that a run can be
 * repeated and a change is judged by itself. `MOEBIUS_SEED=random` looks for new cases, as
 * `check:long` does; any other number repeats a run.
 */
import fc from 'fast-check';

const { MOEBIUS_SEED: seed = '20261121' } = process.env;
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) });
