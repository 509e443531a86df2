/**
 * The report's looks: light and dark by the reader's setting, 390 to 1440 px, and in print.
 *
 * Colours of passes are those of the published diagrams (forward orange, backward green, weight
 * gradients blue) in the tones of Okabe and Ito, which colour-blind readers can tell apart; markers
 * and hatching say the same once more by shape.
 */

const COLOURS = {
  light: `
    --page: #f6f7f9; --card: #ffffff; --text: #1b2330; --muted: #5b6676; --line: #dfe3ea;
    --grid: #e7eaf0; --link: #005a9c; --bubble: #eef0f4; --hatch: #d5dae3; --good: #00664a;
    --bad: #a83c00; --forward: #e69f00; --backward: #009e73; --weight: #0072b2;
    --communication: #cc79a7; --optimizer: #4c5566; --other: #8a94a6; --on-forward: #201600;
    --on-backward: #00130d; --on-weight: #ffffff; --on-optimizer: #ffffff; --on-other: #10141b;
    --sky: #56b4e9; --yellow: #e8d92c; --grey: #a3abb8;`,
  dark: `
    --page: #10141b; --card: #181e28; --text: #e8ecf3; --muted: #9fabbd; --line: #2b3442;
    --grid: #262e3b; --link: #7cc4ff; --bubble: #1f2632; --hatch: #333d4d; --good: #4fd3a6;
    --bad: #ff9a66; --forward: #f0ad1e; --backward: #0fb386; --weight: #3f9fe0;
    --communication: #d78bb5; --optimizer: #aeb8c8; --other: #768295; --on-forward: #201600;
    --on-backward: #00150e; --on-weight: #00111f; --on-optimizer: #10141b; --on-other: #10141b;
    --sky: #8fd0f7; --yellow: #f0e442; --grey: #7d8798;`,
};

export const styleSheet: string = `
:root { color-scheme: light dark; ${COLOURS.light} }
@media (prefers-color-scheme: dark) { :root { ${COLOURS.dark} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--card); padding: 8px; z-index: 5; }
header, main, footer { max-width: 1240px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 4px 0 10px; max-width: 78ch; }
.muted, figcaption { color: var(--muted); }
a { color: var(--link); }
nav ul { list-style: none; margin: 12px 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 2px 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 16px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 10px;
  margin: 18px 0 0; padding: 0; }
.cards > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; }
.cards dt { color: var(--muted); font-size: 13px; }
.cards dd { margin: 0; font-size: 21px; white-space: nowrap; font-weight: 600; line-height: 1.25; }
.cards dd small { display: block; font-size: 13px; font-weight: 400; color: var(--muted); }
.cards .first dd { font-size: 28px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 2px 24px;
  margin: 10px 0; }
.facts > div { display: flex; justify-content: space-between; gap: 12px; padding: 3px 0;
  border-bottom: 1px solid var(--grid); }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, 'DejaVu Sans Mono',
  monospace; margin: 8px 0; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; color: var(--muted); padding: 0 0 6px; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }
th { font-weight: 500; }
@media (min-width: 701px) { th[scope='row'] { white-space: nowrap; } }
thead th { color: var(--muted); font-weight: 500; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td, tr.best th { font-weight: 600; }
#derived table { max-width: 640px; }
td svg { display: block; width: 100%; height: 16px; }
td.bar { vertical-align: middle; width: 60%; min-width: 110px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.tag { display: inline-block; border: 1px solid var(--line); border-radius: 99px; padding: 0 8px;
  font-size: 12px; white-space: nowrap; color: var(--muted); }
.tag.measured { border-color: var(--backward); } .tag.fitted { border-color: var(--weight); }
.tag.derived { border-color: var(--forward); } .tag.extrapolated { border-color: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none;
  padding: 0; margin: 8px 0;
  font-size: 13px; }
.legend svg { width: 16px; height: 12px; vertical-align: -1px; margin-right: 6px; }
figure { margin: 0; }
figure > svg { display: block; max-width: 100%; height: auto; }
figure text { font: 12px system-ui, sans-serif; fill: var(--text); paint-order: stroke;
  stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }

figure text.small { font-size: 11px; } figure text.muted { fill: var(--muted); }
figure text.strong { font-weight: 600; }
figure text.on-forward { fill: var(--on-forward); stroke: none; }
figure text.on-backward { fill: var(--on-backward); stroke: none; }
figure text.on-weight { fill: var(--on-weight); stroke: none; }
.grid { stroke: var(--grid); } .axis { stroke: var(--muted); fill: none; }
.roof { stroke: var(--text); stroke-width: 1.5; fill: none; }
.roof.second { stroke-dasharray: 5 4; }
.leader { stroke: var(--muted); stroke-width: 0.7; }
.front { stroke: var(--muted); fill: none; stroke-dasharray: 3 3; }
.capacity { stroke: var(--bad); stroke-width: 2; }
.forward { fill: var(--forward); } .backward { fill: var(--backward); }
.weight { fill: var(--weight); } .communication { fill: var(--communication); }
.optimizer { fill: var(--optimizer); } .other { fill: var(--other); }
.bubble { fill: var(--bubble); stroke: var(--hatch); } .sky { fill: var(--sky); }
.yellow { fill: var(--yellow); } .grey { fill: var(--grey); }
.compute { fill: var(--weight); } .memory { fill: var(--forward); }
.network { fill: var(--communication); }
.loser { fill: none; stroke: var(--muted); stroke-width: 1.5; }
.edge { stroke: var(--card); stroke-width: 1; }
.middle, .narrow { display: none; }
@media (max-width: 1180px) { .wide { display: none; } .middle { display: block; } }
.toolbar { display: flex; flex-wrap: wrap; gap: 6px; margin: 8px 0; }
button { font: inherit; font-size: 13px; color: var(--text); background: var(--page);
  border: 1px solid var(--line); border-radius: 7px; padding: 3px 10px; cursor: pointer; }
button:hover { border-color: var(--muted); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.stage { position: relative; }
canvas { display: block; width: 100%; touch-action: pan-y; cursor: grab; }
#timeline-tip { position: absolute; pointer-events: none;
  background: var(--text); color: var(--page);
  border-radius: 6px; padding: 4px 8px; font-size: 12px; max-width: 320px; z-index: 3; }
#timeline-said { min-height: 1.5em; font-size: 13px; color: var(--muted); margin: 6px 0 0; }
details { margin: 10px 0 0; } summary { cursor: pointer; color: var(--link); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
footer { padding-bottom: 40px; color: var(--muted); font-size: 13px; }
@media (min-width: 1000px) { .cards { grid-template-columns: repeat(5, 1fr); } }
@media (max-width: 700px) {
  .middle { display: none; } .narrow { display: block; }
  th[scope='row'] { min-width: 104px; } 
  td:not(.number):not(.bar):not(:has(.tag)) { min-width: 190px; }
  section { padding: 14px 14px; } h1 { font-size: 22px; }
  .cards { grid-template-columns: repeat(2, 1fr); }
  .roomy { display: none; }
}
@media print {
  body { background: none; } section { break-inside: avoid; border: 0; padding: 8px 0; }
  nav, .toolbar { display: none; }
}
`;
