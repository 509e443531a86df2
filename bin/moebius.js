#!/usr/bin/env node
// The command line's front door; ./launch.js says what it checks. Plain JavaScript that Node 20
// runs.
import { launch } from './launch.js';

await launch(process.argv.slice(2));
