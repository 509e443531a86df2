/** The server's latent cache now: a canvas of its blocks, and the same in words and as a table. */
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { CacheMap } from '../../src/serving/engineClient.ts';
import { useWords } from '../app/language.ts';
import { readColor, useTheme } from '../app/theme.ts';
import {
  type BlockColors,
  blockBoxes,
  blockStates,
  countBlocks,
  layoutBlocks,
} from '../draw/blockMap.ts';
import { messages } from './messages.ts';

const CURVES = [1, 2, 3, 4, 5, 6] as const;

export function CacheFigure({ cache }: { readonly cache: CacheMap }): JSX.Element {
  const say = useWords(messages);
  const theme = useTheme();
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(canvas);
  const states = useMemo(() => blockStates(cache), [cache]);
  const layout = layoutBlocks(cache.numBlocks, Math.max(60, width));
  const height = layout.rows * layout.pitch;
  useLayoutEffect(() => {
    const element = canvas.current;
    const brush = element?.getContext('2d');
    if (!element || !brush || width === 0) return;
    const density = globalThis.devicePixelRatio || 1;
    element.width = Math.round(width * density);
    element.height = Math.round(height * density);
    brush.scale(density, density);
    brush.clearRect(0, 0, width, height);
    for (const box of blockBoxes(states, layout, pageColors())) {
      brush.fillStyle = box.fill;
      brush.fillRect(box.left, box.top, box.width, box.height);
    }
  }, [states, width, height, theme]);
  const { owned, shared, unused, empty } = countBlocks(states);
  const facts = [
    say('cacheSize', { blocks: cache.numBlocks, positions: cache.blockSize }),
    say('cacheOwned', { owned, shared, requests: cache.requests.length }),
    say('cacheFree', { unused, empty }),
  ].join(' ');
  return (
    <section aria-label={say('cache')}>
      <h2>{say('cache')}</h2>
      <p class="cache-facts">{facts}</p>
      <canvas
        ref={canvas}
        class="cache-map"
        role="img"
        aria-label={facts}
        data-owned={owned}
        data-shared={shared}
        data-unused={unused}
        style={{ height: `${height}px` }}
      />
      {cache.requests.length === 0 ? null : (
        <details>
          <summary>{say('table')}</summary>
          <table>
            <thead>
              <tr>
                <th scope="col">{say('request')}</th>
                <th scope="col" class="number">
                  {say('blocks')}
                </th>
              </tr>
            </thead>
            <tbody>
              {cache.requests.map(({ requestId, blocks }, index) => (
                <tr key={requestId}>
                  <th scope="row">
                    <span
                      class="cache-swatch"
                      style={{ background: `var(--curve-${CURVES[index % CURVES.length]})` }}
                    />{' '}
                    {requestId}
                  </th>
                  <td class="number">{blocks.length}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </section>
  );
}

function pageColors(): BlockColors {
  return {
    empty: readColor('--sunken'),
    unused: readColor('--bubble-hatch'),
    requests: CURVES.map((number) => readColor(`--curve-${number}`)),
  };
}

function useWidth(canvas: { readonly current: HTMLCanvasElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}
