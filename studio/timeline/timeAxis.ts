/**
 * The scale above a timeline: a few labelled ticks, moved with each frame. Elements and not a
 * canvas, and not rendered anew: a frame changes where they stand and little of what they say.
 */

import type { TimelineView } from '../draw/timelineView.ts';
import { ticksOf } from '../draw/timeTicks.ts';
import type { FormatTime } from './numbers.ts';

/** Between ticks, in CSS pixels, at least: the room of a label. */
const SPACING = 84;

export interface AxisLook {
  readonly view: TimelineView;
  readonly nameWidth: number;
  readonly format: FormatTime;
}

export function showAxis(axis: HTMLElement, { view, nameWidth, format }: AxisLook): void {
  const { step, times } = ticksOf(view, Math.floor(view.width / SPACING));
  while (axis.children.length > times.length) axis.lastChild?.remove();
  while (axis.children.length < times.length) axis.append(document.createElement('span'));
  const scale = view.width / (view.to - view.from);
  for (const [index, time] of times.entries()) {
    const tick = axis.children[index];
    if (!(tick instanceof HTMLElement)) continue;
    const x = (time - view.from) * scale;
    tick.style.transform = `translateX(${Math.round(nameWidth + x)}px)`;
    // The last one may have no room to its right: its line stands alone.
    const text = x + SPACING - 8 > view.width ? '' : format(time, step);
    if (tick.textContent !== text) tick.textContent = text;
  }
}
