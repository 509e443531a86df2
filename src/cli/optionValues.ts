/** What the values of options on the command line may be; a refusal shows what was given. */
import { InvalidArgumentError } from 'commander';

/** Beyond it a number is no count any more: the next one is the same number. */
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

/** A count: an integer within [min, max], or an error that shows what was given. */
export function integerOption(min: number, max: number = MAX_COUNT): (text: string) => number {
  const wanted = max === MAX_COUNT ? `of at least ${min}` : `from ${min} to ${max}`;
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) {
      return value;
    }
    throw new InvalidArgumentError(`It is "${text}"; give an integer ${wanted}.`);
  };
}

/** Numbers between commas. */
export function numbersOption(min: number, max: number): (text: string) => readonly number[] {
  const one = numberOption(min, max);
  return (text) => text.split(',').map((word) => one(word.trim()));
}

/** Counts between commas. */
export function integersOption(min: number): (text: string) => readonly number[] {
  const one = integerOption(min);
  return (text) => text.split(',').map((word) => one(word.trim()));
}

/** A number within [min, max]. */
export function numberOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
      throw new InvalidArgumentError(`It is "${text}"; give a number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Gathers a repeated option into a list. */
export function listOption(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
}
