/**
 * The vocabulary as a tree of bytes, in the order in which a walk meets it: a node's subtree lies
 * behind it, up to `ends[node]`, so a walk that fails at a node goes on there.
 */
import { assert, at } from '../base/assert.ts';
import type { GrammarVocabulary } from './grammar.ts';

export interface TokenTrie {
  readonly size: number;
  /** Node 0 is the root, before any byte. */
  readonly numNodes: number;
  /** The byte that leads to a node. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  /** One past the last node of the subtree. */
  readonly ends: Int32Array;
  /** The tokens that end at node n: `tokens[tokenStarts[n] … tokenStarts[n + 1] − 1]`. */
  readonly tokenStarts: Int32Array;
  readonly tokens: Int32Array;
  readonly maxDepth: number;
}

/** Control tokens, end tokens and empty ones are left out: no text comes with them. */
export function buildTokenTrie(vocabulary: GrammarVocabulary): TokenTrie {
  const spellings: (Uint8Array | null)[] = [];
  const ids: number[] = [];
  for (let id = 0; id < vocabulary.size; id++) {
    const bytes = vocabulary.endIds.has(id) ? null : vocabulary.bytesOf(id);
    const isText = bytes !== null && bytes.length > 0;
    // A copy: the vocabulary may reuse its memory.
    spellings.push(isText ? bytes.slice() : null);
    if (isText) ids.push(id);
  }
  const bytesOf = (id: number): Uint8Array => spellings[id] as Uint8Array;
  sortByBytes(ids, bytesOf);

  let [numNodes, maxDepth] = [1, 0];
  for (const [i, id] of ids.entries()) {
    const bytes = bytesOf(id);
    maxDepth = Math.max(maxDepth, bytes.length);
    numNodes += bytes.length - (i === 0 ? 0 : sharedLength(bytesOf(at(ids, i - 1)), bytes));
  }
  const trie = {
    size: vocabulary.size,
    numNodes,
    bytes: new Uint8Array(numNodes),
    depths: new Uint16Array(numNodes),
    ends: new Int32Array(numNodes),
    tokenStarts: new Int32Array(numNodes + 1),
    tokens: Int32Array.from(ids),
    maxDepth,
  };
  // The nodes from the root to the last token's end; a node ends where one of its depth begins.
  const path = [0];
  let node = 0;
  for (const [i, id] of ids.entries()) {
    const bytes = bytesOf(id);
    const shared = i === 0 ? 0 : sharedLength(bytesOf(at(ids, i - 1)), bytes);
    while (path.length > shared + 1) trie.ends[path.pop() as number] = node + 1;
    for (let depth = shared; depth < bytes.length; depth++) {
      node++;
      trie.bytes[node] = at(bytes, depth);
      trie.depths[node] = depth + 1;
      trie.tokenStarts[node] = i;
      path.push(node);
    }
    // Equal spellings share the node; those behind it begin with the next token.
    trie.tokenStarts[node + 1] = i + 1;
  }
  for (const open of path) trie.ends[open] = numNodes;
  trie.tokenStarts[numNodes] = ids.length;
  return trie;
}

/** By the first four bytes as one number, which sorts without calls; then the few that tie. */
function sortByBytes(ids: number[], bytesOf: (id: number) => Uint8Array): void {
  const unit = 2 ** 21;
  assert(ids.length <= unit, 'a vocabulary has at most 2²¹ tokens');
  const keys = Float64Array.from(ids, (id, i) => {
    const bytes = bytesOf(id);
    let prefix = 0;
    for (let j = 0; j < 4; j++) prefix = prefix * 256 + (bytes[j] ?? 0);
    return prefix * unit + i;
  }).sort();
  const unsorted = ids.slice();
  for (let from = 0; from < keys.length; ) {
    const prefix = Math.floor((keys[from] as number) / unit);
    const run: number[] = [];
    let to = from;
    for (; to < keys.length && Math.floor((keys[to] as number) / unit) === prefix; to++) {
      run.push(unsorted[(keys[to] as number) % unit] as number);
    }
    if (run.length > 1) run.sort((a, b) => compareBytes(bytesOf(a), bytesOf(b)) || a - b);
    for (const id of run) ids[from++] = id;
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = (a[i] as number) - (b[i] as number);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
