/** Names in a message: the first ten, and how many more there are. */
const MOST = 10;

export function listSome(names: readonly string[]): string {
  const shown = names.slice(0, MOST).join(', ');
  return names.length > MOST ? `${shown}, and ${names.length - MOST} more` : shown;
}
