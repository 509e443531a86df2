/**
 * The command line: names, options, and the one place where errors end.
 *
 * Commands are loaded when they are called, so that `moebius --help` starts at once. Exit codes:
 * 0 done, 1 the caller's mistake, 2 our own, 130 interrupted.
 */
import { Command, CommanderError } from 'commander';
import { nearestName } from '../base/errors.ts';
import { addServeBenchOptions } from './bench/serve/commandOptions.ts';
import {
  integerOption,
  integersOption,
  listOption,
  numberOption,
  numbersOption,
} from './optionValues.ts';
import { asMistake, describeError } from './output.ts';
import { packageVersion } from './packageVersion.ts';
import { addServeOptions } from './serve/serveOptions.ts';

export function createProgram(): Command {
  const program = new Command('moebius')
    .description('DeepSeek-V3, whole, in TypeScript: train it, talk to it, look inside.')
    .version(packageVersion(), '-V, --version')
    .showHelpAfterError('(moebius --help lists the commands)')
    .showSuggestionAfterError()
    .exitOverride();

  program
    .command('start')
    .description('train the small default model in a page, then talk with it there')
    .option('--set <a.b=c>', 'change a setting of the recipe', listOption)
    .option('--out <dir>', 'the run’s folder')
    .option('--ui-port <n>', 'of the page; 0 takes a free one; 8790', integerOption(0, 65_535))
    .option('--no-ui', 'without the page, and end when it is trained')
    .option('--json', 'as --no-ui, and end with one line of JSON')
    .action(async (options) => (await import('./commands/start.ts')).start(options));

  program
    .command('train')
    .description('train a model: a recipe by name, or a YAML or JSON file of settings')
    .argument('<recipe|file>', 'recipe name (see: moebius config recipes) or file')
    .option('--set <a.b=c>', 'change a setting; repeat for more', listOption)
    .option('--out <dir>', 'the run’s folder')
    .option('--resume', 'go on from the run’s last checkpoint')
    .option('--ui', 'with a page on the run, as moebius studio shows it')
    .option('--ui-port <n>', 'its port; 0 takes a free one', integerOption(0, 65_535), 8790)
    .option('--json', 'end with one line of JSON')
    .action(async (recipe, options) =>
      (await import('./commands/train.ts')).train(recipe, options),
    );

  program
    .command('generate')
    .description('continue a prompt with a checkpoint')
    .requiredOption('--checkpoint <dir>', 'a checkpoint’s folder')
    .option('--prompt <text>', 'the text to continue', '')
    .option('--max-tokens <n>', 'tokens to generate at most', integerOption(1), 128)
    .option('--temperature <t>', '0 is greedy', numberOption(0, 100), 0.8)
    .option('--top-k <n>', 'keep the n likeliest tokens; 0 keeps all', integerOption(0), 0)
    .option('--top-p <p>', 'keep the likeliest tokens of mass p', numberOption(0, 1), 1)
    .option('--min-p <p>', 'drop tokens below p times the likeliest', numberOption(0, 1), 0)
    .option('--seed <n>', 'seed of the sampler', integerOption(0), 0)
    .option('--stop <text>', 'end before this text; repeat for more', listOption)
    .option('--speculate [n]', 'draft n tokens a step with the MTP module', integerOption(1))
    .option('--ignore-eos', 'go on past the end-of-sequence token')
    .option('--kernels <name>', 'native, wasm or reference')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/generate.ts')).generate(options));

  program
    .command('chat')
    .description('talk with a checkpoint, or with a running server, on the terminal')
    .option('--checkpoint <dir>', 'a checkpoint’s folder')
    .option('--url <url>', 'a running server, in place of a checkpoint')
    .option('--api-key <key>', 'the server’s key')
    .option('--name <model>', 'the model’s name at the server; the first that is listed')
    .option('--system <text>', 'a system message')
    .option('--max-tokens <n>', 'tokens per answer at most', integerOption(1), 256)
    .option('--temperature <t>', '0 is greedy', numberOption(0, 100), 0.8)
    .option('--top-p <p>', 'keep the likeliest tokens of mass p', numberOption(0, 1), 0.95)
    .option('--seed <n>', 'seed of the sampler', integerOption(0), 0)
    .option('--speculate [n]', 'draft n tokens a step with the MTP module', integerOption(1))
    .option('--kernels <name>', 'native, wasm or reference')
    .action(async (options) => (await import('./commands/chat.ts')).chat(options));

  program
    .command('studio')
    .description('one local page: watch runs, talk with checkpoints, plan')
    .argument('[folder]', 'where runs and checkpoints are looked for', 'runs')
    .option('--port <n>', 'port; 0 takes a free one', integerOption(0, 65_535), 8790)
    .option('--host <address>', 'address to listen at', '127.0.0.1')
    .option('--checkpoint <dir>', 'a checkpoint to serve at once')
    .option('--json', 'one line of JSON once it listens')
    .action(async (folder, options) =>
      (await import('./commands/studio.ts')).serveStudio(folder, options),
    );

  addServeOptions(
    program
      .command('serve')
      .description('serve a checkpoint: OpenAI’s API over HTTP')
      .argument('[checkpoint]', 'a checkpoint’s folder'),
  ).action(async (checkpoint, options) =>
    (await import('./commands/serve.ts')).serve(checkpoint, options),
  );

  program
    .command('eval')
    .description('bits per byte of a checkpoint on text')
    .requiredOption('--checkpoint <dir>', 'a checkpoint’s folder')
    .option(
      '--data <path>',
      'text files or a folder; the embedded corpus’s held-out part if absent',
    )
    .option('--sequence-length <n>', 'tokens per sequence', integerOption(2))
    .option('--max-tokens <n>', 'stop after about this many tokens', integerOption(1))
    .option('--kernels <name>', 'native, wasm or reference')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/eval.ts')).evaluate(options));

  program
    .command('inspect')
    .description('what a checkpoint, a config file or a preset is made of')
    .argument('<target>', 'a checkpoint’s folder, a config.json, or a preset’s name')
    .option('--context <n>', 'context length for FLOPs per token', integerOption(1), 4096)
    .option('--tensors', 'list every tensor')
    .option('--modules', 'FLOPs of a forward pass, module by module')
    .option('--memory', 'what serving takes on this machine, at that context')
    .option('--sequences <n>', 'memory: sequences at once', integerOption(1), 1)
    .option('--cache-dtype <name>', 'memory: f32, bf16 or f8e4m3', 'bf16')
    .option('--json', 'end with one line of JSON')
    .action(async (target, options) =>
      (await import('./commands/inspect.ts')).inspect(target, options),
    );

  program
    .command('forward')
    .description('run one batch and write every activation, and gradients, as safetensors')
    .requiredOption('--checkpoint <dir>', 'a checkpoint’s folder')
    .requiredOption('--inputs <file>', 'JSON with input_ids [B][T]')
    .requiredOption('--output <file>', 'the safetensors file to write')
    .option('--options <file>', 'JSON with the loss’s coefficients under "options"')
    .option('--gradients', 'also write grad.NAME of the total loss')
    .option('--kernels <name>', 'native, wasm or reference')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/forward.ts')).forward(options));

  const bench = program
    .command('bench')
    .description('measure speed, each figure as a share of this machine’s limits')
    .argument('<what>', 'train, kernels, decode, prefill, serve, compare or limits')
    .argument('[workload]', 'compare: train, decode, prefill or serve')
    .option('--config <file>', 'a model config.json or a preset’s name')
    .option('--batch <n>', 'sequences at once: 8 in training, else 1', integerOption(1))
    .option('--sequence-length <n>', 'train: tokens per sequence; 512', integerOption(2))
    .option('--steps <n>', 'measured steps: 5 of training, 4 prompts', integerOption(1))
    .option('--dtype <name>', 'decode, prefill, serve: f32, bf16, f16 or f8e4m3 weights')
    .option('--context <n>', 'decode: tokens of each prompt; 64', integerOption(1))
    .option('--tokens <n>', 'decode, serve: measured tokens of each sequence; 64', integerOption(1))
    .option('--prompt <n>', 'prefill, serve: tokens of a prompt; 512', integerOption(1))
    .option('--model <dir>', 'decode, prefill, serve: a checkpoint in place of made-up weights')
    .option('--speculate <n>', 'decode: MTP drafts a step, beside plain', integerOption(1))
    .option('--acceptance <x>', 'decode --speculate: made-up drafts', numberOption(0, 100))
    .option('--operations', 'train: measure one more step operation by operation')
    .option('--shapes', 'operations one by one for each shape')
    .option('--peers <dir>', 'compare: folder of the other programs and their models')
    .option('--rounds <n>', 'compare: times that each of the two runs; 5', integerOption(1))
    .option('--gguf <file>', 'compare: llama.cpp’s model, in place of one made for it')
    .option('--via <command>', 'compare: put before every measured command, as "nice -n 5"')
    .option('--tiny', 'seconds instead of minutes: only shows that it runs')
    .option('--record [file]', 'append the figures to a ledger, bench/ledger.jsonl')
    .option('--kernels <name>', 'native, wasm or reference')
    .option('--json', 'end with one line of JSON')
    .action(async (what, workload, options) =>
      (await import('./commands/bench.ts')).bench(what, workload, options),
    );
  addServeBenchOptions(bench);

  const plan = program
    .command('plan')
    .description('what training a model on described hardware comes to');
  plan
    .command('train')
    .description('plan and simulate training: seconds, memory, MFU, days, dollars')
    .requiredOption('--model <name|file>', 'a preset, a config.json, or a checkpoint’s folder')
    .requiredOption('--cluster <name|file>', 'a preset as h800x2048, or a YAML file')
    .option('--gpus <n,…>', 'as many GPUs of that kind; several compete', integersOption(1))
    .option('--layout <words>', 'as pp16,ep64,zero1; a range as ep8-64 or none is searched')
    .option('--search', 'search what the layout leaves open')
    .option('--deadline-days <n>', 'search: the cheapest within so many days', numberOption(0, 1e6))
    .option('--budget-dollars <n>', 'search: the fastest for so much', numberOption(0, 1e15))
    .option('--schedule <name>', 'gpipe, 1f1b, interleaved-1f1b, zb1p, dualpipe or dualpipev')
    .option('--chunks <n>', 'interleaved-1f1b: model chunks of each rank', integerOption(2))
    .option('--global-batch <n>', 'sequences of a step; the published run’s', integerOption(1))
    .option('--micro-batch <n>', 'sequences of a micro-batch; 1', integerOption(1))
    .option('--sequence-length <n>', 'tokens of a sequence', integerOption(2))
    .option('--precision <name>', 'fp8 or bf16')
    .option('--recompute <name>', 'none, norm, swiglu, v3, full or auto')
    .option('--no-mtp', 'without multi-token prediction')
    .option('--tokens <n>', 'tokens of the whole run', numberOption(1, 1e18))
    .option('--imbalance <x>', 'busiest rank’s load over the mean; 1.23', numberOption(1, 64))
    .option(
      '--what-if <path=value>',
      'beside it, as gpu.memoryBytesPerSecond*=2; repeat',
      listOption,
    )
    .option('--idea <name>', 'beside it, an idea of the papers; repeat for more', listOption)
    .option('--ideas', 'beside it, every idea alone and all together')
    .option(
      '--expert-loads <x,…>',
      'beside it, steps whose hottest expert has x times the mean',
      numbersOption(1, 1024),
    )
    .option('--calibration <file>', 'factors from a trace, as moebius calibrate writes them')
    .option('--trace <file>', 'write the step as a Chrome trace')
    .option('--html <file>', 'write a report with pictures')
    .option('--export <engine>', 'write arguments of megatron or torchtitan')
    .option('--out <dir>', 'the export’s folder; plan')
    .option('--csv', 'one row in place of tables')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/plan.ts')).planTrain(options));
  plan
    .command('shapes')
    .description('co-design the other way round: shapes of a model, each with its best plan')
    .requiredOption('--model <name|file>', 'a preset, a config.json, or a checkpoint’s folder')
    .requiredOption('--cluster <name|file>', 'a preset as h800x2048, or a YAML file')
    .option('--vary <axis=values>', 'as nRoutedExperts=128,512; half and twice of each', listOption)
    .option('--combine', 'every combination, not one axis at a time')
    .option('--budget <what>', 'total, active or flops stays the same', 'active')
    .option('--tolerance <share>', 'by which the budget may be off', numberOption(0, 0.9), 0.05)
    .option('--gpus <n,…>', 'as many GPUs of that kind; several compete', integersOption(1))
    .option('--layout <words>', 'what is fixed of every plan')
    .option('--schedule <name>', 'of every plan')
    .option('--global-batch <n>', 'sequences of a step; the published run’s', integerOption(1))
    .option('--micro-batch <n>', 'sequences of a micro-batch; 1', integerOption(1))
    .option('--sequence-length <n>', 'tokens of a sequence', integerOption(2))
    .option('--precision <name>', 'fp8 or bf16')
    .option('--recompute <name>', 'of every plan')
    .option('--no-mtp', 'without multi-token prediction')
    .option('--tokens <n>', 'tokens of the whole run', numberOption(1, 1e18))
    .option('--imbalance <x>', 'busiest rank’s load over the mean; 1.23', numberOption(1, 64))
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/planShapes.ts')).planShapes(options));
  plan
    .command('scorecard')
    .description('published runs, planned again: how far the planner is off, row by row')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/scorecard.ts')).scorecard(options));

  program
    .command('figures')
    .description('what is said about DeepSeek-V3, computed again: the audit of published figures')
    .option('--group <name>', '1 to 5, or articles, report, paper, systems, models', listOption)
    .option('--all', 'every figure with its formula, not one screen')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/figures.ts')).figures(options));

  program
    .command('trace')
    .description('analyse a timeline: overlap, time by class, critical path')
    .argument('<file>', 'a Chrome trace, ours or PyTorch’s, plain or gzip')
    .option('--device <id>', 'show this device’s tables, not the first’s')
    .option('--rules <file>', 'JSON: [{ "class", "pattern" }] for kernels of your own')
    .option('--csv', 'time by class as CSV, in place of tables')
    .option('--json', 'end with one line of JSON')
    .action(async (file, options) => (await import('./commands/trace.ts')).trace(file, options));

  program
    .command('calibrate')
    .description('measure a machine by a trace of its own: rates and factors by class')
    .requiredOption('--trace <file>', 'a trace of training, plain or gzip')
    .requiredOption('--model <name|file>', 'a preset, a config.json, or a checkpoint’s folder')
    .requiredOption('--cluster <name|file>', 'a preset as h800x2048, or a YAML file')
    .requiredOption('--layout <words>', 'as pp16,ep64,zero1: pp, ep, tp, dp and zero')
    .requiredOption('--layers <n>', 'layers that the trace covers', integerOption(1))
    .option('--repeats <n>', 'how often they run forward and backward', integerOption(1), 1)
    .option('--gpus <n>', 'as many GPUs of that kind', integerOption(1))
    .option('--schedule <name>', 'gpipe, 1f1b, interleaved-1f1b, zb1p, dualpipe or dualpipev')
    .option('--micro-batch <n>', 'sequences of a micro-batch; 1', integerOption(1))
    .option('--sequence-length <n>', 'tokens of a sequence', integerOption(2))
    .option('--precision <name>', 'fp8 or bf16')
    .option('--recompute <name>', 'none, norm, swiglu, v3, full or auto')
    .option('--rules <file>', 'JSON: [{ "class", "pattern" }] for kernels of your own')
    .option('--out <file>', 'write the calibration')
    .option('--json', 'end with one line of JSON')
    .action(async (options) =>
      (await import('./commands/calibrate.ts')).calibrateFromTrace(options),
    );

  program
    .command('quantize')
    .description('turn a checkpoint’s projections and experts into FP8 blocks')
    .argument('<in>', 'a checkpoint’s folder: BF16, F16 or F32 weights')
    .argument('<out>', 'the folder to write')
    .option('--kernels <name>', 'native, wasm or reference')
    .option('--json', 'end with one line of JSON')
    .action(async (from, to, options) =>
      (await import('./commands/quantize.ts')).quantize(from, to, options),
    );

  program
    .command('random-model')
    .description('write a checkpoint of made-up weights in a model’s true shape')
    .argument('<out>', 'the folder to write')
    .requiredOption('--model <name|file>', 'a preset, a config.json, or a checkpoint’s folder')
    .option('--dtype <name>', 'f8e4m3, bf16, f16 or f32 weights', 'f8e4m3')
    .option('--seed <n>', 'seed of the weights', integerOption(0), 0)
    .option('--shard-bytes <n>', 'bytes of a file at most; 5 GB', integerOption(1))
    .option('--json', 'end with one line of JSON')
    .action(async (out, options) =>
      (await import('./commands/randomModel.ts')).randomModel(out, options),
    );

  program
    .command('doctor')
    .description('what this machine and this installation can do')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/doctor.ts')).doctor(options));

  const config = program.command('config').description('look at settings without running them');
  config
    .command('print')
    .description('every setting of a run, resolved, with what was derived and why')
    .argument('<recipe|file>', 'recipe name or file')
    .option('--set <a.b=c>', 'change a setting; repeat for more', listOption)
    .option('--json', 'end with one line of JSON')
    .action(async (recipe, options) =>
      (await import('./commands/config.ts')).printConfig(recipe, options),
    );
  config
    .command('recipes')
    .description('recipes and model presets by name')
    .option('--json', 'end with one line of JSON')
    .action(async (options) => (await import('./commands/config.ts')).printRecipes(options));
  return program;
}

/** Runs one command line (what follows `moebius`) and gives the exit code; `bin/` calls it. */
export async function main(args: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync([...args], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      const isMissing = error.code === 'commander.missingMandatoryOptionValue';
      if (isMissing) process.stderr.write(misspelt(program, args));
      return error.exitCode === 0 ? 0 : 1;
    }
    process.stderr.write(`${describeError(error)}\n`);
    return asMistake(error) === null ? 2 : 1;
  }
}

/** Of a required option that is misspelt, Commander says only that it is missing. */
function misspelt(program: Command, args: readonly string[]): string {
  const [name, inner] = args;
  const command = program.commands.find((each) => each.name() === name);
  const subcommand = command?.commands.find((each) => each.name() === inner);
  const known = ((subcommand ?? command)?.options ?? []).flatMap(({ long }) => long ?? []);
  return args
    .map((arg) => arg.split('=', 1)[0] ?? '')
    .filter((arg) => arg.startsWith('--') && !known.includes(arg))
    .map((arg) => [arg, nearestName(arg, known)])
    .map(([arg, near]) => `(${arg} is no option${near === undefined ? '' : `; ${near} is`})\n`)
    .join('');
}
