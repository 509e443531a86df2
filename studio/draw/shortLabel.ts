/** What is left of a pass' label where it has no room: the micro-batch, of a pair both. */

/** `7B16` is 16, `14F3 & 1B2` is 3|2; empty where there is nothing shorter. */
export function shortLabel(label: string): string {
  const [, single, forward, backward] = /^\d+(?:[FBIW](\d+)|F(\d+) & \d+B(\d+))$/.exec(label) ?? [];
  return single ?? (forward === undefined ? '' : `${forward}|${backward}`);
}
