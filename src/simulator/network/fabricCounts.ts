/**
 * Switches, links and dollars of whole fabrics from the ports k of a switch (ISCA 2025, table 3).
 *
 * Links are those between switches; endpoints' own are not counted, as in the paper.
 *
 * | fabric | endpoints | switches | links |
 * | --- | --- | --- | --- |
 * | two-layer fat tree | k²/2 | 3k/2 | k²/2 |
 * | p planes of it | p × k²/2 | p × 3k/2 | p × k²/2 |
 * | three-layer fat tree | k³/4 | 5k²/4 | k³/2 |
 * | Slim Fly, q | 2q² × p | 2q² | 2q² × d/2 |
 * | Dragonfly, p a h g | a p g | a g | g a (a−1)/2 + g a h/2 |
 *
 * Slim Fly (Besta and Hoefler, SC 2014): q = 4w + δ with δ in −1, 0, 1; degree d = (3q − δ)/2 and
 * p = ⌈d/2⌉ endpoints. The graph itself exists where q is a prime power; counting asks only for
 * the form, since the paper's own q, 28, is none.
 *
 * Prices are not published. Two of them, $82,200 a switch and $500 a link, meet all five costs of
 * the table within 1 %: a fit of five numbers by two, no price list.
 */
import { MoebiusError } from '../../base/errors.ts';

export type Fabric =
  | { readonly kind: 'fat-tree-2'; readonly ports: number }
  | { readonly kind: 'multi-plane-fat-tree'; readonly ports: number; readonly planes: number }
  | { readonly kind: 'fat-tree-3'; readonly ports: number }
  | { readonly kind: 'slim-fly'; readonly q: number }
  | {
      readonly kind: 'dragonfly';
      /** Endpoints and global links of a switch. */
      readonly p: number;
      readonly h: number;
      /** Switches of a group; groups, at most a × h + 1. */
      readonly a: number;
      readonly g: number;
    };

export interface FabricCounts {
  readonly endpoints: number;
  readonly switches: number;
  readonly links: number;
  /** Ports that the busiest switch uses. */
  readonly portsPerSwitch: number;
}

export interface FabricPrices {
  readonly dollarsPerSwitch: number;
  readonly dollarsPerLink: number;
}

/** Fitted to ISCA 2025, table 3 (largest error 0.94 %). */
export const fittedPrices: FabricPrices = { dollarsPerSwitch: 82_200, dollarsPerLink: 500 };

/** @throws network.badFabric when the numbers describe no such fabric */
export function countFabric(fabric: Fabric): FabricCounts {
  for (const [name, value] of Object.entries(fabric)) {
    if (typeof value === 'number' && !(Number.isInteger(value) && value > 0)) {
      throw badFabric(fabric, `Set ${name} to a whole number above zero.`);
    }
  }
  switch (fabric.kind) {
    case 'fat-tree-2': {
      const k = evenPorts(fabric);
      return { endpoints: k ** 2 / 2, switches: (3 * k) / 2, links: k ** 2 / 2, portsPerSwitch: k };
    }
    case 'multi-plane-fat-tree': {
      const plane = countFabric({ kind: 'fat-tree-2', ports: fabric.ports });
      return {
        endpoints: plane.endpoints * fabric.planes,
        switches: plane.switches * fabric.planes,
        links: plane.links * fabric.planes,
        portsPerSwitch: plane.portsPerSwitch,
      };
    }
    case 'fat-tree-3': {
      const k = evenPorts(fabric);
      return {
        endpoints: k ** 3 / 4,
        switches: (5 * k ** 2) / 4,
        links: k ** 3 / 2,
        portsPerSwitch: k,
      };
    }
    case 'slim-fly': {
      const { q } = fabric;
      const delta = [0, 1, -1].find((d) => (q - d) % 4 === 0);
      if (delta === undefined) throw badFabric(fabric, 'Take q = 4w, 4w + 1 or 4w − 1.');
      const degree = (3 * q - delta) / 2;
      const perSwitch = Math.ceil(degree / 2);
      const switches = 2 * q ** 2;
      return {
        endpoints: switches * perSwitch,
        switches,
        links: (switches * degree) / 2,
        portsPerSwitch: degree + perSwitch,
      };
    }
    case 'dragonfly': {
      const { p, a, h, g } = fabric;
      if (g > a * h + 1) throw badFabric(fabric, `Take at most a × h + 1 = ${a * h + 1} groups.`);
      return {
        endpoints: a * p * g,
        switches: a * g,
        links: (g * a * (a - 1)) / 2 + (g * a * h) / 2,
        portsPerSwitch: p + (a - 1) + h,
      };
    }
    default:
      fabric satisfies never;
      throw badFabric(fabric, 'Name one of the five fabrics.');
  }
}

/** Dollars of the network, and of an endpoint's share of it. */
export function priceFabric(
  counts: FabricCounts,
  prices: FabricPrices = fittedPrices,
): { readonly dollars: number; readonly dollarsPerEndpoint: number } {
  const dollars = counts.switches * prices.dollarsPerSwitch + counts.links * prices.dollarsPerLink;
  return { dollars, dollarsPerEndpoint: dollars / counts.endpoints };
}

/** The largest q whose switches have at most k ports. */
export function slimFlyOfPorts(ports: number): Fabric {
  for (let q = Math.ceil((2 * ports) / 3); q >= 3; q--) {
    if (q % 4 === 2) continue;
    if (countFabric({ kind: 'slim-fly', q }).portsPerSwitch <= ports)
      return { kind: 'slim-fly', q };
  }
  throw badFabric({ kind: 'slim-fly', q: 0 }, 'Take switches of more ports.');
}

/** Balanced, a = 2p = 2h (Kim and others, ISCA 2008), as large as k ports make it. */
export function dragonflyOfPorts(ports: number): Fabric {
  const p = Math.floor((ports + 1) / 4);
  return { kind: 'dragonfly', p, a: 2 * p, h: p, g: 2 * p * p + 1 };
}

function evenPorts(fabric: Fabric & { readonly ports: number }): number {
  if (fabric.ports % 2 === 0) return fabric.ports;
  throw badFabric(fabric, 'Give switches an even number of ports: half go up.');
}

function badFabric(fabric: Fabric, hint: string): MoebiusError {
  return new MoebiusError('network.badFabric', `${JSON.stringify(fabric)} describes no fabric.`, {
    values: { ...fabric },
    hint,
  });
}
