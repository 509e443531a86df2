/**
 * Who may ask the studio: this machine's own page, and programs of this machine.
 *
 * A browser can be made to send requests here by any page that it shows. Two things give it away:
 * `Origin`, which a page cannot forge, and `Host`, which holds the name the page was loaded under,
 * when that name was pointed at this machine after the page had been loaded (DNS rebinding).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { ProtocolError } from '../../serving/openai/protocolError.ts';

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
const DEFAULT_PORT = 80;

/** @throws studio.host, studio.origin: 403 */
export function refuseForeign(
  headers: IncomingHttpHeaders,
  { host, port }: { readonly host: string; readonly port: number },
): void {
  const given = headers.host?.toLowerCase() ?? '';
  const names = [...LOOPBACK, host.includes(':') ? `[${host}]` : host.toLowerCase()];
  const known = names.flatMap((name) =>
    port === DEFAULT_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`],
  );
  if (!known.includes(given)) {
    throw forbidden('studio.host', 'the request is for another host', {
      values: { host: given },
      hint: `Open http://127.0.0.1:${port}, or start the studio with --host.`,
    });
  }
  const { origin } = headers;
  if (origin !== undefined && origin.toLowerCase() !== `http://${given}`) {
    throw forbidden('studio.origin', 'the request comes from another page', {
      values: { origin },
      hint: 'Ask from the studio’s own page, or without an Origin.',
    });
  }
}

function forbidden(
  code: 'studio.host' | 'studio.origin',
  message: string,
  details: { readonly values: Readonly<Record<string, unknown>>; readonly hint: string },
): ProtocolError {
  return new ProtocolError(code, message, { status: 403, type: 'permission_error', ...details });
}
