/** What the values of options on the command line may be; a refusal shows what was given. */
import { InvalidArgumentError } from 'commander';

/** A count: an integer of at least `min`, or an error that shows what was given. */
export function integerOption(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min) {
      throw new InvalidArgumentError(`It is "${text}"; give an integer of at least ${min}.`);
    }
    return value;
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
