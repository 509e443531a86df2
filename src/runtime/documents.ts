/**
 * Text for training, from files: `.txt` is one document; `.jsonl` is one per line, in the field
 * `text` or as `messages`; either may be gzipped; a folder is everything below it in order of path.
 * `corpus:NAME` is an embedded corpus. The order is the same on every machine.
 *
 * Nothing is passed over in silence: a file this cannot read ends the run with its name and line.
 * Only names that begin with a dot are not looked at.
 */
import { createReadStream } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import type { TextDocument } from '../base/document.ts';
import { type ErrorCode, MoebiusError } from '../base/errors.ts';
import { CORPUS_PREFIX, readCorpus } from './corpus.ts';

/**
 * @param source a file, a folder, or `corpus:NAME`
 * @throws data.missing, data.unknownExtension, data.empty, data.notUtf8, data.badJson, data.noText,
 *   data.badGzip, data.loop, data.tooLong, data.unreadable, data.corpus, data.unknownCorpus
 */
export async function readDocuments(source: string): Promise<readonly TextDocument[]> {
  if (source.startsWith(CORPUS_PREFIX)) return readCorpus(source.slice(CORPUS_PREFIX.length));
  const documents: TextDocument[] = [];
  for (const file of await listFiles(source)) {
    for await (const document of readTextFile(file)) documents.push(document);
  }
  if (documents.length === 0) {
    throw problem('data.empty', `${source} holds no document`, source, {
      hint: 'Put .txt or .jsonl files (or .gz of either) into it.',
    });
  }
  return documents;
}

interface TextFile {
  readonly path: string;
  /** Path below the folder that was named, with slashes: the start of its documents' ids. */
  readonly id: string;
}

async function listFiles(source: string): Promise<readonly TextFile[]> {
  const files: TextFile[] = [];
  await collectFiles({ path: source, id: '' }, [], files);
  return files;
}

async function collectFiles(
  entry: TextFile,
  above: readonly string[],
  into: TextFile[],
): Promise<void> {
  const info = await stat(entry.path).catch((cause: unknown) => {
    throw problem('data.missing', `there is no ${entry.path}`, entry.path, {
      hint: 'Check the path; relative ones start at the current folder.',
      cause,
    });
  });
  if (!info.isDirectory()) {
    into.push(entry.id === '' ? { ...entry, id: basename(entry.path) } : entry);
    return;
  }
  const real = await realpath(entry.path);
  if (above.includes(real)) {
    throw problem('data.loop', `${entry.path} leads back to a folder above it`, entry.path, {
      hint: 'Remove the link.',
    });
  }
  const names = await readdir(entry.path).catch((cause: unknown) => {
    throw unreadable(entry.path, cause);
  });
  // By code unit, not by locale: the same order everywhere.
  for (const name of names.filter((name) => !name.startsWith('.')).sort()) {
    const id = entry.id === '' ? name : `${entry.id}/${name}`;
    await collectFiles({ path: join(entry.path, name), id }, [...above, real], into);
  }
}

async function* readTextFile(file: TextFile): AsyncGenerator<TextDocument> {
  const name = file.path.toLowerCase();
  const plain = name.endsWith('.gz') ? name.slice(0, -'.gz'.length) : name;
  if (plain.endsWith('.jsonl')) {
    yield* readJsonLines(file);
  } else if (plain.endsWith('.txt')) {
    yield await readWhole(file);
  } else {
    throw problem('data.unknownExtension', `${file.path} is neither .txt nor .jsonl`, file.path, {
      hint: 'Use .txt or .jsonl, or .gz of either; move other files out of the folder.',
    });
  }
}

async function readWhole(file: TextFile): Promise<TextDocument> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytesOf(file)) chunks.push(chunk);
  const text = decode(Buffer.concat(chunks), file);
  if (text.trim() === '') {
    throw problem('data.empty', `${file.path} is empty`, file.path, {
      hint: 'Remove the file, or put text into it.',
    });
  }
  return { id: file.id, text };
}

async function* readJsonLines(file: TextFile): AsyncGenerator<TextDocument> {
  let number = 0;
  let isEmpty = true;
  for await (const bytes of linesOf(file)) {
    number++;
    const line = decode(bytes, file, number);
    if (line.trim() === '') continue;
    isEmpty = false;
    yield { id: `${file.id}#${number}`, text: textOfLine(line, file, number) };
  }
  if (isEmpty) {
    throw problem('data.empty', `${file.path} is empty`, file.path, {
      hint: 'Remove the file, or put one JSON object on each line.',
    });
  }
}

function textOfLine(line: string, file: TextFile, number: number): string {
  const place = `${file.path}, line ${number}`;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw problem('data.badJson', `${place} is no JSON: ${reason}`, file.path, {
      line: number,
      hint: 'Put one whole JSON object on each line.',
      cause,
    });
  }
  const text = textOfRecord(value);
  if (text === undefined) {
    throw problem('data.noText', `${place} has neither "text" nor "messages"`, file.path, {
      line: number,
      hint: 'Give {"text": "…"} or {"messages": [{"role": "user", "content": "…"}]}.',
    });
  }
  if (text.trim() === '') {
    throw problem('data.empty', `${place} has an empty text`, file.path, {
      line: number,
      hint: 'Remove the line.',
    });
  }
  return text;
}

/** `messages` become paragraphs, each with its role in front: plain text, no chat template. */
function textOfRecord(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { text, messages } = value as Record<string, unknown>;
  if (typeof text === 'string') return text;
  if (!Array.isArray(messages) || messages.length === 0) return undefined;
  const paragraphs: string[] = [];
  for (const message of messages as unknown[]) {
    if (typeof message !== 'object' || message === null) return undefined;
    const { role, content } = message as Record<string, unknown>;
    if (typeof role !== 'string' || typeof content !== 'string') return undefined;
    paragraphs.push(`${role.charAt(0).toUpperCase()}${role.slice(1)}: ${content}`);
  }
  return paragraphs.join('\n\n');
}

async function* bytesOf(file: TextFile): AsyncGenerator<Uint8Array> {
  const isGzip = file.path.toLowerCase().endsWith('.gz');
  const source = createReadStream(file.path);
  const stream = isGzip ? source.pipe(createGunzip()) : source;
  // An error does not travel through a pipe.
  if (isGzip) source.on('error', (cause) => stream.destroy(cause));
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw unreadable(file.path, cause);
    throw problem('data.badGzip', `${file.path} is damaged, or no gzip file`, file.path, {
      hint: 'Copy or compress it again.',
      cause,
    });
  } finally {
    source.destroy();
  }
}

/** Lines as bytes, without their ends, so that a damaged character is found on its own line. */
async function* linesOf(file: TextFile): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  for await (const chunk of bytesOf(file)) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      yield Buffer.concat(parts);
      parts = [];
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

function decode(bytes: Uint8Array, file: TextFile, line?: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'ERR_ENCODING_INVALID_ENCODED_DATA') {
      throw problem('data.tooLong', `${file.path} is longer than one text can be`, file.path, {
        hint: 'Split it into files of at most 500 MB, or into lines of .jsonl.',
        cause,
      });
    }
    const at = line ?? firstBadLine(bytes);
    throw problem('data.notUtf8', `${file.path}, line ${at} is not UTF-8`, file.path, {
      line: at,
      hint: 'Convert it, with iconv -f latin1 -t utf-8 for example.',
      cause,
    });
  }
}

function firstBadLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
  }
  return line;
}

function unreadable(path: string, cause: unknown): MoebiusError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return problem('data.unreadable', `${path} cannot be read: ${reason}`, path, {
    hint: 'Check its permissions.',
    cause,
  });
}

function problem(
  code: ErrorCode,
  message: string,
  path: string,
  { line, hint, cause }: { line?: number; hint: string; cause?: unknown },
): MoebiusError {
  const values = line === undefined ? { path } : { path, line };
  return new MoebiusError(code, message, {
    values,
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}
