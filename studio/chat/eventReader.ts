/**
 * Server-sent events out of pieces of text, as far as an OpenAI-compatible server uses them: the
 * `data` of each event, its lines joined (HTML Living Standard, 9.2.6). A piece may end anywhere.
 */

export class EventReader {
  #rest = '';
  #data: string[] = [];

  /** @returns data of the events that are whole by now */
  feed(text: string): readonly string[] {
    const events: string[] = [];
    const whole = this.#rest + text;
    // A last CR may be half of a CR LF.
    const end = whole.endsWith('\r') ? whole.length - 1 : whole.length;
    const lines = whole.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + whole.slice(end);
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push(this.#data.join('\n'));
        this.#data = [];
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      }
    }
    return events;
  }
}
