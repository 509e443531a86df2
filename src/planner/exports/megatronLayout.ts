/**
 * Megatron's word for a stage split: `Et*2|(tt|)*5t|tmL`. E embeds, t is a layer, m an MTP module,
 * L the loss, | ends a stage; `x*n` and `(…)*n` repeat.
 */
import { at } from '../../base/assert.ts';
import type { StageLayers } from './stageSplit.ts';

export function megatronLayout(stages: readonly StageLayers[], numMtpModules: number): string {
  const rows = stages.map(({ first, last }, index) => {
    const layers = repeated('t', last - first);
    const opening = index === 0 ? 'E' : '';
    const ending = index === stages.length - 1 ? `${repeated('m', numMtpModules)}L` : '';
    return `${opening}${layers}${ending}`;
  });
  const parts: string[] = [];
  // The last row has no bar behind it and so joins no repetition.
  for (let index = 0; index < rows.length - 1; ) {
    let end = index + 1;
    while (end < rows.length - 1 && rows[end] === rows[index]) end++;
    const row = `${at(rows, index)}|`;
    const times = end - index;
    // A repetition ends in a digit, and the next row never begins with one.
    parts.push(times > 1 ? `(${row})*${times}` : row);
    index = end;
  }
  return `${parts.join('')}${at(rows, rows.length - 1)}`;
}

function repeated(letter: string, times: number): string {
  return times > 2 ? `${letter}*${times}` : letter.repeat(times);
}
