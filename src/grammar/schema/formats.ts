/** The formats of strings that are enforced, as regular expressions of the whole content. */

const YEAR = '\\d{4}';
const LEAP_YEAR = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const DATE = [
  `${YEAR}-(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])`,
  `${YEAR}-(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)`,
  `${YEAR}-02-(?:0[1-9]|1\\d|2[0-8])`,
  `${LEAP_YEAR}-02-29`,
].join('|');
/** RFC 3339 without leap seconds, fractions down to the nanosecond. */
const TIME =
  '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const HOSTNAME = `${LABEL}(?:\\.${LABEL})*`;
const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `${BYTE}(?:\\.${BYTE}){3}`;
const DURATION_TIME = 'T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)';
const DURATION_DATE = '(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)';
const URI_CHARACTER = "[A-Za-z0-9._~:/?@!$&'()*+,;=-]";
const URI_PART = `(?:${URI_CHARACTER}|%[\\dA-Fa-f]{2})`;

export const FORMATS: ReadonlyMap<string, string> = new Map([
  ['date', DATE],
  ['time', TIME],
  ['date-time', `(?:${DATE})T${TIME}`],
  ['duration', `P(?:${DURATION_DATE}(?:${DURATION_TIME})?|${DURATION_TIME}|\\d+W)`],
  ['email', `${ATOM}(?:\\.${ATOM})*@${HOSTNAME}`],
  ['hostname', HOSTNAME],
  ['ipv4', IPV4],
  ['ipv6', ipv6()],
  ['uuid', '[\\da-fA-F]{8}-[\\da-fA-F]{4}-[\\da-fA-F]{4}-[\\da-fA-F]{4}-[\\da-fA-F]{12}'],
  ['uri', `[A-Za-z][A-Za-z0-9+.-]*:${URI_PART}+(?:#${URI_PART}*)?`],
]);

/** Eight groups, or fewer around one `::` (RFC 4291), the last two perhaps as IPv4. */
function ipv6(): string {
  const group = '[\\dA-Fa-f]{1,4}';
  const tail = `(?:${group}:${group}|${IPV4})`;
  const options = [`(?:${group}:){6}${tail}`];
  for (let before = 0; before <= 7; before++) {
    const left = before === 0 ? '' : `${group}(?::${group}){${before - 1}}`;
    const room = 7 - before;
    options.push(`${left}::`);
    if (room >= 1) options.push(`${left}::(?:${group}:){0,${room - 1}}${group}`);
    if (room >= 2) options.push(`${left}::(?:${group}:){0,${room - 2}}${IPV4}`);
  }
  return options.join('|');
}
