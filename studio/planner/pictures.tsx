/** Shapes as SVG: one image to a screen reader, for a table holds the same facts. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { MarkShape, Picture, Shape } from './shapes.ts';

interface DrawnProperties {
  readonly label: string;
  /** The picture at a width in pixels. */
  readonly draw: (width: number) => Picture;
}

/** As wide as there is room, drawn anew when that changes. */
export function Drawn({ label, draw }: DrawnProperties): JSX.Element {
  const room = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(700);
  useEffect(() => {
    const element = room.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      const found = Math.round(entry?.contentRect.width ?? 0);
      if (found > 0) setWidth(Math.max(280, found));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const picture = draw(width);
  return (
    <div ref={room}>
      <svg
        class="picture"
        role="img"
        aria-label={label}
        viewBox={`0 0 ${picture.width} ${picture.height}`}
      >
        {picture.shapes.map((shape, index) => (
          <Drawing key={index} shape={shape} />
        ))}
      </svg>
    </div>
  );
}

function Drawing({ shape }: { readonly shape: Shape }): JSX.Element {
  switch (shape.kind) {
    case 'bar': {
      const { x, y, width, height, tone, title } = shape;
      return (
        <rect x={x} y={y} width={width} height={height} class={tone}>
          <title>{title}</title>
        </rect>
      );
    }
    case 'line':
      return (
        <polyline
          class={shape.tone}
          points={shape.points.map(({ x, y }) => `${x},${y}`).join(' ')}
        />
      );
    case 'text': {
      const { x, y, anchor, text } = shape;
      return (
        <text x={x} y={y} text-anchor={anchor}>
          {text}
        </text>
      );
    }
    case 'mark': {
      const { x, y, size, tone, title } = shape;
      return (
        <path d={outlineOf(shape.shape, size)} transform={`translate(${x} ${y})`} class={tone}>
          <title>{title}</title>
        </path>
      );
    }
    default:
      shape satisfies never;
      return <g />;
  }
}

function outlineOf(shape: MarkShape, r: number): string {
  switch (shape) {
    case 'circle':
      return `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
    case 'square':
      return `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`;
    case 'triangle':
      return `M0 ${-r}L${r} ${r}H${-r}z`;
    case 'diamond':
      return `M0 ${-r}L${r} 0L0 ${r}L${-r} 0z`;
    default:
      shape satisfies never;
      return '';
  }
}

export interface LegendEntry {
  readonly tone: string;
  readonly name: string;
  /** A square by default. */
  readonly mark?: MarkShape;
}

/** What the tones mean. */
export function Legend({ entries }: { readonly entries: readonly LegendEntry[] }): JSX.Element {
  return (
    <ul class="legend">
      {entries.map(({ tone, name, mark = 'square' }) => (
        <li key={name}>
          <svg viewBox="0 0 10 10" aria-hidden="true">
            <path d={outlineOf(mark, 4.5)} transform="translate(5 5)" class={tone} />
          </svg>{' '}
          {name}
        </li>
      ))}
    </ul>
  );
}
