/**
 * The law of rooms, read from ARCHITECTURE.md and applied to sources: who may import whom, which
 * packages a room may touch, and that only rooms marked `node` know Node, clocks, dice or timers.
 *
 * Tests that lie beside their files keep to the floors too: what crosses rooms belongs in tests/.
 * They may use Node and any package of package.json, and tests/support.
 */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import type { ProjectFile } from './projectFiles.ts';
import { lineAt, scanSource } from './scanSource.ts';

export interface Room {
  readonly name: string;
  readonly floor: number;
  readonly mayImport: readonly string[];
  /** Package names, or their last part; `node` stands for Node itself. */
  readonly touches: readonly string[];
  readonly state: 'here' | 'planned';
}

/** The one file of src/ outside the rooms: the library's door, which may open any of them. */
const ENTRY = 'src/index.ts';

/** @throws when the document has no room table, or a row that cannot be read */
export function parseRooms(markdown: string): readonly Room[] {
  const lines = markdown.split('\n');
  const header = lines.findIndex((line) => /^\|\s*floor\s*\|\s*room\s*\|/.test(line));
  if (header < 0) throw new Error('ARCHITECTURE.md has no table that begins with floor and room');
  const titles = cells(lines[header] ?? '');
  const rooms: Room[] = [];
  for (const line of lines.slice(header + 2)) {
    if (!line.startsWith('|')) break;
    const row = cells(line);
    const cell = (title: string): string => {
      const text = row[titles.indexOf(title)];
      if (text === undefined) throw new Error(`a room's row has no cell "${title}": ${line}`);
      return text;
    };
    const words = (title: string): string[] => cell(title).match(/[@\w./-]*\w/g) ?? [];
    const state = cell('state');
    if (state !== 'here' && state !== 'planned') throw new Error(`unknown state "${state}"`);
    const isOpen = cell('may import') === 'all of the above';
    const mayImport = isOpen ? rooms.map((room) => room.name) : words('may import');
    const floor = Number(cell('floor'));
    rooms.push({ name: cell('room'), floor, mayImport, touches: words('touches'), state });
  }
  return rooms;
}

function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Paths named in a document's sections about walks, with `{a,b}` written out. */
export function parseWalks(markdown: string): readonly string[] {
  const sections = markdown.split(/^## /m).filter((section) => /^[^\n]*walk/i.test(section));
  const paths = sections.flatMap((section) =>
    [...section.matchAll(/`([\w.-]+\/[\w.{},/-]*)`/g)].flatMap((match) => expand(match[1] ?? '')),
  );
  return [...new Set(paths)];
}

function expand(path: string): string[] {
  const braces = /^(.*)\{([^}]*)\}(.*)$/.exec(path);
  if (!braces) return [path];
  const [, before = '', inside = '', after = ''] = braces;
  return inside.split(',').map((word) => `${before}${word}${after}`);
}

/** What is wrong with the table itself: a room on two rows, or one that imports upwards. */
export function tableComplaints(rooms: readonly Room[]): readonly string[] {
  return rooms.flatMap((room, index) => {
    const isTwice = rooms.findIndex((other) => other.name === room.name) < index;
    const wrong = room.mayImport.filter((name) => {
      const other = rooms.find((candidate) => candidate.name === name);
      return !other || other.floor >= room.floor;
    });
    return [
      ...(isTwice ? [`the table has ${room.name} twice`] : []),
      ...wrong.map((name) => `${room.name} may not import ${name}: it is not on a lower floor`),
    ];
  });
}

/** Rooms on disk against rooms in the table, in both directions. */
export function presenceComplaints(
  rooms: readonly Room[],
  files: readonly ProjectFile[],
): readonly string[] {
  const onDisk = new Set(
    files.filter((file) => file.path !== ENTRY).map((file) => roomOf(file.path)),
  );
  const known = new Set(rooms.map((room) => room.name));
  const unknown = [...onDisk].filter((name) => !known.has(name));
  const wrong = rooms.filter((room) => onDisk.has(room.name) !== (room.state === 'here'));
  return [
    ...unknown.map((name) => `src/${name} is not a room of ARCHITECTURE.md`),
    ...wrong.map(
      ({ name, state }) => `ARCHITECTURE.md has ${name} as "${state}"; on disk it is not`,
    ),
  ];
}

/** `src/model/moe.ts` → `model`; a file right under src/ is its own room. */
function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** Every import, package, clock, die and timer of one file that its room may not have. */
export function fileComplaints(
  file: ProjectFile,
  rooms: readonly Room[],
  packages: ReadonlySet<string>,
): readonly string[] {
  const isTest = file.path.endsWith('.test.ts');
  const isEntry = file.path === ENTRY;
  const room = rooms.find((candidate) => candidate.name === roomOf(file.path));
  if (!room && !isEntry) return [`${file.path}: src/${roomOf(file.path)} is not a room`];
  const hasNode = isTest || room?.touches.includes('node') === true;
  const source = scanSource(file.text);
  const complaints: string[] = [];
  for (const { specifier, line } of source.imports) {
    const reason = specifier.startsWith('.')
      ? relativeComplaint(file.path, specifier, room, isTest)
      : packageComplaint(specifier, room, isTest, packages);
    if (reason !== undefined) complaints.push(`${file.path}:${line}: ${reason}`);
  }
  if (!hasNode) {
    for (const line of source.computedImports) {
      complaints.push(`${file.path}:${line}: imports a computed path, and the room is not node`);
    }
    for (const { name, line } of worldlyNames(source.code)) {
      complaints.push(`${file.path}:${line}: uses ${name}, and the room is not node`);
    }
  }
  return complaints;
}

function relativeComplaint(
  path: string,
  specifier: string,
  room: Room | undefined,
  isTest: boolean,
): string | undefined {
  const target = posix.join(posix.dirname(path), specifier);
  if (isTest && target.startsWith('tests/support/')) return undefined;
  if (!target.startsWith('src/')) return `imports ${target}, outside src`;
  if (!specifier.endsWith('.ts')) return `imports ${specifier} without its .ts`;
  if (target.endsWith('.test.ts')) return `imports the test ${target}`;
  if (!room) return undefined;
  const other = roomOf(target);
  if (other === room.name || room.mayImport.includes(other)) return undefined;
  return `${room.name} may not import ${other}`;
}

function packageComplaint(
  specifier: string,
  room: Room | undefined,
  isTest: boolean,
  packages: ReadonlySet<string>,
): string | undefined {
  const touches = room?.touches ?? [];
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith('node:')) return `write node:${specifier}`;
    return isTest || touches.includes('node') ? undefined : `imports ${specifier}`;
  }
  const depth = specifier.startsWith('@') ? 2 : 1;
  const name = specifier.split('/').slice(0, depth).join('/');
  if (!packages.has(name)) return `imports ${name}, which package.json does not have`;
  const isAllowed = touches.some((word) => word === name || name.endsWith(`/${word}`));
  return isTest || isAllowed ? undefined : `imports the package ${name}`;
}

/**
 * Globals that reach out of the program: Node itself, clocks, dice, timers, the network, the
 * screen. A name after a dot or before a colon is a property and somebody else's.
 */
const WORLDLY = [
  'Date performance process Buffer global globalThis require console fetch crypto WebSocket Worker',
  'setTimeout setInterval setImmediate clearTimeout clearInterval',
  'Math.random AbortSignal.timeout import.meta.dirname import.meta.filename',
]
  .join(' ')
  .replaceAll('.', '\\.')
  .replaceAll(' ', '|');

const WORLDLY_NAME = new RegExp(`(?<![.\\w$#])(?:${WORLDLY})(?![\\w$])`, 'g');

function worldlyNames(code: string): { name: string; line: number }[] {
  return [...code.matchAll(WORLDLY_NAME)]
    .filter((match) => !isKey(code, match.index, match.index + match[0].length))
    .map((match) => ({ name: match[0], line: lineAt(code, match.index) }));
}

/** `{ process: … }`, `(process: T)` and `process?: T` name something of the file's own. */
function isKey(code: string, start: number, end: number): boolean {
  const before = code.slice(code.lastIndexOf('\n', start - 1) + 1, start);
  const opens = /[{,;(]\s*$/.test(before) || /^\s*(?:readonly\s+)?$/.test(before);
  return opens && /^\s*\??:/.test(code.slice(end, end + 20));
}

/** Files that import one another in a circle, types included, as `a → b → a`. */
export function importCycles(files: readonly ProjectFile[]): readonly string[] {
  const edges = new Map(
    files.map((file) => [
      file.path,
      scanSource(file.text)
        .imports.filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => posix.join(posix.dirname(file.path), specifier)),
    ]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
