/**
 * The pushdown machine of a grammar: the automata of its rules in one table. An edge reads a byte,
 * takes a control token, or calls a rule and goes on where the call returns.
 *
 * Three things hold, and the configurations rely on them. A called rule reads at least one byte:
 * where it may be empty, the caller has a way around the call. No rule calls itself before it has
 * read something, so the rules called at one place have an order (`rankOf`). And from every state
 * some text leads to the end, so a text that has not failed can be finished.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { type Automaton, callSymbol, refuseTooLarge } from './automaton.ts';
import { type CountedRule, type LoweredRule, lowerRules } from './lowering.ts';
import { automatonOf, type Callee } from './nfa.ts';
import { type Pattern, partsOf, type RuleSet } from './pattern.ts';

export interface Machine {
  readonly numStates: number;
  readonly numRules: number;
  /** `next[rowOf[state] + classOf[classBaseOf[state] + byte]]`: a state, or −1. */
  readonly next: Int32Array;
  readonly rowOf: Int32Array;
  readonly classOf: Uint8Array;
  readonly classBaseOf: Int32Array;
  /** 1 where a state's rule may end. */
  readonly finals: Uint8Array;
  /** 1 where bytes or control tokens may come. */
  readonly reads: Uint8Array;
  /** 1 where bytes may come. */
  readonly readsBytes: Uint8Array;
  /** 1 where a rule ends and nothing else can happen: a call that returns here is a tail call. */
  readonly onlyEnds: Uint8Array;
  readonly calls: readonly (readonly Call[])[];
  readonly controls: readonly (readonly ControlEdge[])[];
  /** By rule: where calls begin, which is no final state. */
  readonly entries: Int32Array;
  /** By rule: callers come before those that they call before reading. */
  readonly rankOf: Int32Array;
  readonly ruleAtRank: Int32Array;
  readonly rootRule: number;
  /** Whether the empty text is one. */
  readonly mayBeEmpty: boolean;
  /** A state that allows the same for as many bytes as a token can have. */
  readonly aliasOf: Int32Array;
  readonly ruleOf: Int32Array;
  /** By rule: its first state. */
  readonly ruleStarts: Int32Array;
  /** By rule: its automaton where it stands on its own (no calls, no control tokens), else null. */
  readonly closedAutomata: readonly (Automaton | null)[];
}

export interface Call {
  readonly rule: number;
  readonly returnsTo: number;
}

export interface ControlEdge {
  readonly id: number;
  readonly to: number;
}

/** @param maxTokenBytes of the longest token: how far ahead a mask looks */
export function buildMachine(ruleSet: RuleSet, maxTokenBytes: number): Machine {
  const rules = lowerRules(ruleSet);
  const callees = calleesOf(rules);
  const automata = [...rules.values()].map((one) => automatonOfRule(one, callees));
  const names = [...rules.keys()];
  const parts = automata.map((automaton) => withEntry(automaton));
  const offsets = new Int32Array(parts.length + 1);
  for (const [i, { automaton }] of parts.entries()) {
    offsets[i + 1] = at(offsets, i) + automaton.numStates;
    refuseTooLarge(at(offsets, i + 1));
  }
  const numStates = at(offsets, parts.length);
  const entries = Int32Array.from(parts, ({ entry }, i) => at(offsets, i) + entry);
  const table = joinTables(
    parts.map(({ automaton }) => automaton),
    offsets,
  );
  const allCalls: Call[][] = [];
  const allControls: ControlEdge[][] = [];
  const finals = new Uint8Array(numStates);
  for (const [i, { automaton }] of parts.entries()) {
    const offset = at(offsets, i);
    finals.set(automaton.finals, offset);
    for (const edges of automaton.symbolEdges) {
      const isCall = ({ symbol }: { readonly symbol: number }): boolean => symbol % 2 === 0;
      allCalls.push(
        edges
          .filter(isCall)
          .map(({ symbol, to }) => ({ rule: symbol / 2, returnsTo: offset + to })),
      );
      allControls.push(
        edges
          .filter((edge) => !isCall(edge))
          .map(({ symbol, to }) => ({ id: (symbol - 1) / 2, to: offset + to })),
      );
    }
  }
  const isLive = liveStates({
    numStates,
    table,
    finals,
    entries,
    calls: allCalls,
    controls: allControls,
  });
  const mayBeEmpty = callees.get(ruleSet.root)?.isNullable === true;
  if (at(isLive, at(entries, 0)) === 0 && !mayBeEmpty) refuseEmpty(ruleSet.root);
  for (let i = 0; i < table.next.length; i++) {
    const to = table.next[i] as number;
    if (to >= 0 && isLive[to] === 0) table.next[i] = -1;
  }
  const calls = allCalls.map((list) =>
    list.filter((call) => isLive[at(entries, call.rule)] === 1 && isLive[call.returnsTo] === 1),
  );
  const controls = allControls.map((list) => list.filter(({ to }) => isLive[to] === 1));
  const readsBytes = byteReaders(table);
  const reads = readsBytes.map((one, state) => (at(controls, state).length > 0 ? 1 : one));
  const onlyEnds = finals.map((isFinal, state) =>
    isFinal === 1 && reads[state] === 0 && at(calls, state).length === 0 ? 1 : 0,
  );
  const ruleAtRank = callOrder(entries, calls, names);
  const rankOf = new Int32Array(names.length);
  for (const [rank, index] of ruleAtRank.entries()) rankOf[index] = rank;
  return {
    ...table,
    numStates,
    numRules: names.length,
    finals,
    reads,
    readsBytes,
    onlyEnds,
    calls,
    controls,
    entries,
    rankOf,
    ruleAtRank,
    rootRule: 0,
    ruleStarts: offsets,
    mayBeEmpty,
    aliasOf: aliases([...rules.values()], offsets, maxTokenBytes),
    closedAutomata: parts.map(({ automaton }) =>
      automaton.symbolEdges.every((edges) => edges.length === 0) ? automaton : null,
    ),
  };
}

/** Beside the tables: a state's entries in the other arrays, and its lists. */
const STATE_BYTES = 160;

/** The tables of a machine, about; those of rules that stand on their own are there twice. */
export function bytesOfMachine({ next, numStates }: Machine): number {
  return 2 * next.byteLength + STATE_BYTES * numStates;
}

function refuseEmpty(root: string): never {
  throw new MoebiusError('grammar.empty', `no text matches the grammar: ${root} never ends`, {
    values: { root },
    hint: 'Give every rule that calls itself a way to end without the call.',
  });
}

/** Whether rules may be empty: the least solution. */
function calleesOf(rules: ReadonlyMap<string, LoweredRule>): ReadonlyMap<string, Callee> {
  const nullable = new Set<string>();
  const isNullable = (pattern: Pattern): boolean => {
    switch (pattern.kind) {
      case 'text':
        return pattern.text === '';
      case 'class':
      case 'control':
        return false;
      case 'automaton':
        return pattern.automaton.finals[0] === 1;
      case 'rule':
        return nullable.has(pattern.name);
      case 'repeat':
        return pattern.min === 0 || isNullable(pattern.body);
      case 'choice':
        return pattern.options.some(isNullable);
      case 'sequence':
        return partsOf(pattern).every(isNullable);
      case 'members':
        return pattern.members.some((one) => isNullable(one.pattern));
      default:
        return pattern satisfies never;
    }
  };
  for (let size = -1; size !== nullable.size; ) {
    size = nullable.size;
    for (const [name, one] of rules) {
      const isEmptyAllowed =
        one.kind === 'counted' ? one.min === 0 || nullable.has(one.body) : isNullable(one.pattern);
      if (isEmptyAllowed) nullable.add(name);
    }
  }
  const entries = [...rules.keys()].map((name, index): [string, Callee] => [
    name,
    { index, isNullable: nullable.has(name) },
  ]);
  return new Map(entries);
}

function automatonOfRule(one: LoweredRule, callees: ReadonlyMap<string, Callee>): Automaton {
  return one.kind === 'counted'
    ? countedAutomaton(one, callees)
    : automatonOf(one.pattern, callees);
}

/** One state for each count; the last one loops where there is no upper bound. */
function countedAutomaton(
  { body, min, max }: CountedRule,
  callees: ReadonlyMap<string, Callee>,
): Automaton {
  const callee = callees.get(body) ?? { index: -1, isNullable: false };
  const least = callee.isNullable ? 0 : min;
  const last = Number.isFinite(max) ? max : min;
  const symbol = callSymbol(callee.index);
  const states = Array.from({ length: last + 1 }, (_, i) => i);
  return {
    numStates: last + 1,
    numClasses: 1,
    classOf: new Uint8Array(256),
    next: new Int32Array(last + 1).fill(-1),
    finals: Uint8Array.from(states, (i) => (i >= least ? 1 : 0)),
    symbolEdges: states.map((i) => {
      if (i < last) return [{ symbol, to: i + 1 }];
      return Number.isFinite(max) ? [] : [{ symbol, to: i }];
    }),
  };
}

/** A start that is no final state: a copy where something returns to the start. */
function withEntry(automaton: Automaton): {
  readonly automaton: Automaton;
  readonly entry: number;
} {
  if (automaton.finals[0] !== 1) return { automaton, entry: 0 };
  const { numStates, numClasses, next, finals, symbolEdges } = automaton;
  const comesBack = next.includes(0) || symbolEdges.flat().some(({ to }) => to === 0);
  if (!comesBack) {
    const cleared = finals.slice();
    cleared[0] = 0;
    return { automaton: { ...automaton, finals: cleared }, entry: 0 };
  }
  const copy: Automaton = {
    ...automaton,
    numStates: numStates + 1,
    next: Int32Array.from([...next, ...next.subarray(0, numClasses)]),
    finals: Uint8Array.from([...finals, 0]),
    symbolEdges: [...symbolEdges, symbolEdges[0] ?? []],
  };
  return { automaton: copy, entry: numStates };
}

interface Table {
  readonly next: Int32Array;
  readonly rowOf: Int32Array;
  readonly classOf: Uint8Array;
  readonly classBaseOf: Int32Array;
  readonly ruleOf: Int32Array;
}

function joinTables(automata: readonly Automaton[], offsets: Int32Array): Table {
  const numStates = at(offsets, automata.length);
  const size = automata.reduce((sum, { next }) => sum + next.length, 0);
  const table: Table = {
    next: new Int32Array(size),
    rowOf: new Int32Array(numStates),
    classOf: new Uint8Array(automata.length * 256),
    classBaseOf: new Int32Array(numStates),
    ruleOf: new Int32Array(numStates),
  };
  let row = 0;
  for (const [i, automaton] of automata.entries()) {
    const offset = at(offsets, i);
    table.classOf.set(automaton.classOf, i * 256);
    for (let state = 0; state < automaton.numStates; state++) {
      table.rowOf[offset + state] = row + state * automaton.numClasses;
      table.classBaseOf[offset + state] = i * 256;
      table.ruleOf[offset + state] = i;
    }
    for (let j = 0; j < automaton.next.length; j++) {
      const to = automaton.next[j] as number;
      table.next[row++] = to < 0 ? -1 : offset + to;
    }
  }
  return table;
}

interface Edges {
  readonly numStates: number;
  readonly table: Table;
  readonly finals: Uint8Array;
  readonly entries: Int32Array;
  readonly calls: readonly (readonly Call[])[];
  readonly controls: readonly (readonly ControlEdge[])[];
}

function rowEnd(table: Table, state: number): number {
  return state + 1 < table.rowOf.length ? at(table.rowOf, state + 1) : table.next.length;
}

/** States from which some text leads to their rule's end; a call needs its rule's entry too. */
function liveStates({ numStates, table, finals, entries, calls, controls }: Edges): Uint8Array {
  const sources: number[][] = Array.from({ length: numStates }, () => []);
  const callers: number[][] = Array.from({ length: numStates }, () => []);
  for (let state = 0; state < numStates; state++) {
    const past = rowEnd(table, state);
    for (let i = at(table.rowOf, state), last = -1; i < past; i++) {
      const to = table.next[i] as number;
      if (to >= 0 && to !== last) at(sources, to).push(state);
      last = to;
    }
    for (const { to } of at(controls, state)) at(sources, to).push(state);
    for (const call of at(calls, state)) {
      at(callers, at(entries, call.rule)).push(state);
      at(callers, call.returnsTo).push(state);
    }
  }
  const isLive = new Uint8Array(numStates);
  const queue: number[] = [];
  const enter = (state: number): void => {
    if (isLive[state] === 0) queue.push(state);
    isLive[state] = 1;
  };
  for (const [state, isFinal] of finals.entries()) if (isFinal === 1) enter(state);
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (const source of at(sources, state)) enter(source);
    for (const caller of at(callers, state)) {
      const isWhole = at(calls, caller).some(
        (call) => isLive[at(entries, call.rule)] === 1 && isLive[call.returnsTo] === 1,
      );
      if (isWhole) enter(caller);
    }
  }
  return isLive;
}

function byteReaders(table: Table): Uint8Array {
  return Uint8Array.from(table.rowOf, (row, state) => {
    const past = rowEnd(table, state);
    for (let i = row; i < past; i++) if ((table.next[i] as number) >= 0) return 1;
    return 0;
  });
}

/** Rules so that each comes before those it calls without having read anything. */
function callOrder(
  entries: Int32Array,
  calls: readonly (readonly Call[])[],
  names: readonly string[],
): Int32Array {
  const order: number[] = [];
  const marks = new Uint8Array(entries.length);
  const path: number[] = [];
  const visit = (index: number): void => {
    if (marks[index] === 2) return;
    path.push(index);
    if (marks[index] === 1) refuseLeftRecursion(path.map((one) => at(names, one)));
    marks[index] = 1;
    for (const call of at(calls, at(entries, index))) visit(call.rule);
    marks[index] = 2;
    path.pop();
    order.push(index);
  };
  for (let index = 0; index < entries.length; index++) visit(index);
  return Int32Array.from(order.reverse());
}

function refuseLeftRecursion(path: readonly string[]): never {
  const name = path.at(-1) ?? '';
  const cycle = path.slice(path.indexOf(name));
  throw new MoebiusError(
    'grammar.leftRecursion',
    `the rule ${name} calls itself before it has read anything: ${cycle.join(' → ')}`,
    {
      values: { rule: name, cycle },
      hint: 'Write it as a repetition (a ::= b ("," b)*), or read something before the call.',
    },
  );
}

/**
 * A token can pass at most as many counts as it has bytes, so counts that are further than that
 * from both bounds allow the same.
 */
function aliases(
  rules: readonly LoweredRule[],
  offsets: Int32Array,
  maxTokenBytes: number,
): Int32Array {
  const aliasOf = Int32Array.from({ length: at(offsets, rules.length) }, (_, i) => i);
  for (const [i, one] of rules.entries()) {
    if (one.kind !== 'counted') continue;
    const known = new Map<string, number>();
    const last = Number.isFinite(one.max) ? one.max : one.min;
    // Not the entry: it is no final state, whatever the counts say.
    for (let count = 1; count <= last; count++) {
      const below = Math.max(0, Math.min(one.min - count, maxTokenBytes + 1));
      const above = Math.min(one.max - count, maxTokenBytes + 1);
      const key = `${below} ${above}`;
      const state = at(offsets, i) + count;
      aliasOf[state] = known.get(key) ?? state;
      if (!known.has(key)) known.set(key, state);
    }
  }
  return aliasOf;
}
