/** Figures as people read them: what is said, what we get, and why the two differ. */
import {
  agrees,
  type Closest,
  type Figure,
  formatNumber,
  formatOurs,
  isSlip,
  type Quantity,
} from './figure.ts';

/** Beyond so many, numbers that agree are counted and not listed. */
const MAX_LISTED = 8;

export interface TextOptions {
  /** Of a claim that is wrong in parts, those parts only. */
  readonly onlyWrong: boolean;
}

export function saidText({ basis }: Figure, options: TextOptions): string {
  if (basis.kind !== 'numbers') return basis.said;
  return listed(basis.quantities, options, ({ name = '', said, unit }) => words(name, said, unit));
}

export function oursText({ basis }: Figure, options: TextOptions): string {
  switch (basis.kind) {
    case 'numbers':
      return listed(basis.quantities, options, (quantity) =>
        words(quantity.name ?? '', formatOurs(quantity), quantity.unit),
      );
    case 'statement':
      return basis.source;
    case 'nowhere':
      return basis.closest.length === 0 ? '–' : basis.closest.map(closestText).join(', ');
    default:
      return basis satisfies never;
  }
}

/** The slip that gives the printed numbers, else the figure's note. */
export function reasonText({ basis, note }: Figure): string {
  if (basis.kind === 'statement' && basis.slip !== null) return basis.slip;
  const slips = new Set(
    basis.kind === 'numbers'
      ? basis.quantities
          .filter((quantity) => !agrees(quantity) && isSlip(quantity))
          .map(({ slip }) => slip?.name ?? '')
      : [],
  );
  return [...slips, ...(note === undefined ? [] : [note])].join('; ');
}

/** What a reading allows beside the printed digits' own rounding. */
export function allowanceText({ basis }: Figure): string {
  if (basis.kind !== 'numbers') return '';
  const reasons = basis.quantities.flatMap(({ reading }) => {
    if (reading?.kind === 'within') {
      return [`± ${formatNumber(100 * reading.share, 1)} %: ${reading.because}`];
    }
    return reading?.kind === 'cut' ? ['printed digits are cut'] : [];
  });
  return [...new Set(reasons)].join('; ');
}

function listed(
  quantities: readonly Quantity[],
  { onlyWrong }: TextOptions,
  text: (quantity: Quantity) => string,
): string {
  const wrong = quantities.filter((quantity) => !agrees(quantity));
  if (onlyWrong && wrong.length > 0) return wrong.map(text).join(', ');
  if (quantities.length <= MAX_LISTED) return quantities.map(text).join(', ');
  const shown = wrong.length > 0 ? wrong : quantities.slice(0, 3);
  return `${shown.map(text).join(', ')}, and ${quantities.length - shown.length} more`;
}

/** The nearest true figure, in words. */
export function closestText({ name, value, unit, digits }: Closest): string {
  return words(name, value.toFixed(digits), unit);
}

function words(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}
