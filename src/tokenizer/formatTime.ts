/**
 * A time as `strftime` writes it, in English, as chat templates ask for today's date
 * (`strftime_now("%d %b %Y")`). The time is passed in: whoever holds a clock calls this.
 */

/** What JavaScript's own dates tell of the zone they are read in. */
export interface LocalTime {
  getFullYear(): number;
  getMonth(): number;
  getDate(): number;
  getDay(): number;
  getHours(): number;
  getMinutes(): number;
  getSeconds(): number;
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September'],
  ...['October', 'November', 'December'],
];

const DIRECTIVES: Readonly<Record<string, (time: LocalTime) => string>> = {
  Y: (time) => String(time.getFullYear()),
  y: (time) => padded(time.getFullYear() % 100),
  m: (time) => padded(time.getMonth() + 1),
  d: (time) => padded(time.getDate()),
  e: (time) => String(time.getDate()).padStart(2),
  B: (time) => MONTHS[time.getMonth()] ?? '',
  b: (time) => MONTHS[time.getMonth()]?.slice(0, 3) ?? '',
  A: (time) => DAYS[time.getDay()] ?? '',
  a: (time) => DAYS[time.getDay()]?.slice(0, 3) ?? '',
  H: (time) => padded(time.getHours()),
  I: (time) => padded(((time.getHours() + 11) % 12) + 1),
  M: (time) => padded(time.getMinutes()),
  S: (time) => padded(time.getSeconds()),
  p: (time) => (time.getHours() < 12 ? 'AM' : 'PM'),
  F: (time) => formatTime('%Y-%m-%d', time),
  T: (time) => formatTime('%H:%M:%S', time),
  '%': () => '%',
};

/** `%-d` and its kin are without the leading zero. @throws for directives that it does not know */
export function formatTime(format: string, time: LocalTime): string {
  return format.replace(/%(-?)([\s\S]?)/g, (directive, dash: string, letter: string) => {
    const write = Object.hasOwn(DIRECTIVES, letter) ? DIRECTIVES[letter] : undefined;
    if (write === undefined) throw new Error(`it asks for a time with ${directive}`);
    return dash === '' ? write(time) : write(time).replace(/^[0 ](?=\d)/, '');
  });
}

function padded(value: number): string {
  return String(value).padStart(2, '0');
}
