/** Today, for chat templates that ask for it: this machine's clock and its zone. */
import { formatTime } from '../tokenizer/formatTime.ts';

export function formatNow(format: string): string {
  return formatTime(format, new Date());
}
