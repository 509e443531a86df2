/** Group 3, continued: counts and costs of networks (ISCA 2025, table 3). */
import { countFabric, type Fabric, priceFabric } from '../../simulator/network/fabricCounts.ts';
import { type Figure, numbers, type Reading } from './figure.ts';

const ports = 64;

interface Row {
  readonly name: string;
  readonly title: string;
  readonly fabric: Fabric;
  readonly formula: string;
  /** Endpoints, switches, links, M$, K$ per endpoint. */
  readonly said: readonly [string, string, string, string, string];
}

const rows: readonly Row[] = [
  {
    name: 'ft2',
    title: 'two-layer fat tree',
    fabric: { kind: 'fat-tree-2', ports },
    formula: 'k²/2, 3k/2, k²/2; k = 64',
    said: ['2048', '96', '2048', '9', '4.39'],
  },
  {
    name: 'mpft',
    title: 'multi-plane fat tree',
    fabric: { kind: 'multi-plane-fat-tree', ports, planes: 8 },
    formula: '8 · FT2',
    said: ['16384', '768', '16384', '72', '4.39'],
  },
  {
    name: 'ft3',
    title: 'three-layer fat tree',
    fabric: { kind: 'fat-tree-3', ports },
    formula: 'k³/4, 5k²/4, k³/2; k = 64',
    said: ['65536', '5120', '131072', '491', '7.5'],
  },
  {
    name: 'slim-fly',
    title: 'Slim Fly',
    fabric: { kind: 'slim-fly', q: 28 },
    formula: '21 · 2q², 2q², 2q² · 42/2; q = 28',
    said: ['32928', '1568', '32928', '146', '4.4'],
  },
  {
    name: 'dragonfly',
    title: 'Dragonfly',
    fabric: { kind: 'dragonfly', p: 16, a: 32, h: 16, g: 511 },
    formula: 'p·a·g, a·g, g·a(a−1)/2 + g·a·h/2; 16, 32, 16, 511',
    said: ['261632', '16352', '384272', '1522', '5.8'],
  },
];

const because = 'prices are not printed; two, fitted to these costs, meet them within 1 %';
const fitted: Reading = { kind: 'within', share: 0.01, because };
const fittedAndRounded: Reading = {
  kind: 'within',
  share: 0.015,
  because: `${because}, and this column has two digits`,
};

export const networks: readonly Figure[] = rows.map(({ name, title, fabric, formula, said }) => {
  const counts = countFabric(fabric);
  const { dollars, dollarsPerEndpoint } = priceFabric(counts);
  return {
    id: `i.network-${name}`,
    group: 3,
    source: 'ISCA T3',
    claim: `${title}: endpoints, switches, links, cost, cost per endpoint`,
    formula: `${formula}; $82.2K per switch, $500 per link (fitted)`,
    basis: numbers(
      { name: 'endpoints', said: said[0], unit: '', ours: counts.endpoints },
      { name: 'switches', said: said[1], unit: '', ours: counts.switches },
      { name: 'links', said: said[2], unit: '', ours: counts.links },
      { name: 'cost', said: said[3], unit: 'M$', ours: dollars / 1e6, reading: fitted },
      {
        name: 'each',
        said: said[4],
        unit: 'K$',
        ours: dollarsPerEndpoint / 1e3,
        reading: fittedAndRounded,
      },
    ),
  };
});
