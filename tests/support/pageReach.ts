/**
 * The law of the studio's page: of src/ it runs only what a browser can. Followed from the page's
 * files through every import that is left when types are gone, for types are the wire's words and
 * bring no code with them.
 */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import type { Room } from './architecture.ts';
import type { ProjectFile } from './projectFiles.ts';
import { type ScannedImport, scanSource } from './scanSource.ts';

/** Each import that a browser could not follow, with the way that leads to it. */
export function pageComplaints(
  pageFiles: readonly ProjectFile[],
  sources: readonly ProjectFile[],
  rooms: readonly Room[],
): readonly string[] {
  const files = new Map([...pageFiles, ...sources].map((file) => [file.path, file]));
  const roomsOfNode = new Set(
    rooms.filter(({ touches }) => touches.includes('node')).map(({ name }) => name),
  );
  const complaints: string[] = [];
  const seen = new Set<string>();
  const visit = (file: ProjectFile, way: string): void => {
    if (seen.has(file.path)) return;
    seen.add(file.path);
    for (const { specifier, line } of valueImports(file.text)) {
      const from = `${way}:${line}`;
      if (isBuiltin(specifier)) complaints.push(`${from} imports ${specifier}`);
      if (!specifier.startsWith('.')) continue;
      const target = posix.join(posix.dirname(file.path), specifier);
      const [top, room = ''] = target.split('/');
      if (top === 'src' && roomsOfNode.has(room)) {
        complaints.push(`${from} imports ${target}, of a room that is Node's`);
        continue;
      }
      const next = files.get(target);
      if (next !== undefined) visit(next, `${from} → ${target}`);
      else if (/\.tsx?$/.test(target)) complaints.push(`${from} imports ${target}, which is not`);
    }
  };
  for (const file of pageFiles) visit(file, file.path);
  return complaints;
}

/** Without those that only a compiler reads: `import type …` and `export type …`. */
function valueImports(text: string): readonly ScannedImport[] {
  const { code, imports } = scanSource(text);
  const lines = code.split('\n');
  return imports.filter(({ line }) => {
    if (/\bimport\s*\(/.test(lines[line - 1] ?? '')) return true;
    // The statement that ends on this line begins at the last line with such a word.
    const before = `\n${lines.slice(0, line).join('\n')}`;
    const start = Math.max(before.lastIndexOf('\nimport '), before.lastIndexOf('\nexport '));
    return !/^\n(?:import|export)\s+type\b/.test(before.slice(start));
  });
}
