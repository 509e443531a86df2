/**
 * Endpoints, switches and links of the networks in ISCA 2025, table 3: what follows from a switch's
 * ports alone. Links are those between switches; a NIC's own link is not counted there.
 */

export interface FabricCounts {
  readonly endpoints: number;
  readonly switches: number;
  readonly links: number;
}

/** Leaf and spine: half of a leaf's ports go down, and as many leaves as a spine has ports. */
export function twoLayerFatTree(ports: number): FabricCounts {
  return { endpoints: ports ** 2 / 2, switches: (3 * ports) / 2, links: ports ** 2 / 2 };
}

/** Planes that nothing connects but the nodes themselves. */
export function multiPlaneFatTree(options: {
  readonly ports: number;
  readonly planes: number;
}): FabricCounts {
  const { endpoints, switches, links } = twoLayerFatTree(options.ports);
  const { planes } = options;
  return {
    endpoints: planes * endpoints,
    switches: planes * switches,
    links: planes * links,
  };
}

export function threeLayerFatTree(ports: number): FabricCounts {
  return { endpoints: ports ** 3 / 4, switches: (5 * ports ** 2) / 4, links: ports ** 3 / 2 };
}

/** q a multiple of four: 2 q² switches of degree 3 q / 2, half as many endpoints (rounded up). */
export function slimFly(q: number): FabricCounts {
  const switches = 2 * q ** 2;
  const degree = (3 * q) / 2;
  return {
    endpoints: switches * Math.ceil(degree / 2),
    switches,
    links: (switches * degree) / 2,
  };
}

/** g groups of a switches, each with p endpoints, h links to other groups and one to each peer. */
export function dragonfly(options: {
  readonly p: number;
  readonly a: number;
  readonly h: number;
  readonly g: number;
}): FabricCounts {
  const { p, a, h, g } = options;
  return {
    endpoints: p * a * g,
    switches: a * g,
    links: (g * a * (a - 1)) / 2 + (g * a * h) / 2,
  };
}

/** Dollars of a switch and of a link. The paper prints no prices: these are fitted to its costs. */
export const fittedPrices = { switch: 82_200, link: 500 } as const;

export function fabricDollars({ switches, links }: FabricCounts): number {
  return switches * fittedPrices.switch + links * fittedPrices.link;
}
