/**
 * A kernel's name as people read it: C++ without its parameters and inner template arguments.
 *
 * `void cutlass::device_kernel<flash::FlashAttnBwd<A, B<C>>>(P)` becomes
 * `cutlass::device_kernel<flash::FlashAttnBwd<…>>`: the outer argument says what it computes.
 */
export function shortKernelName(name: string): string {
  let text = '';
  let depth = 0;
  for (const character of name.replace(/^void /, '')) {
    if (character === '>') depth--;
    // Names such as `(anonymous namespace)::f` have a bracket that opens no parameters.
    if (character === '(' && depth === 0 && text !== '' && !text.endsWith('::')) break;
    if (depth < 2) text += character;
    if (character === '<' && ++depth === 2) text += '…';
  }
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 1)}…` : text;
}

const MAX_LENGTH = 90;
