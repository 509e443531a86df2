/**
 * DeepSeek-V3's forward pass written down once more, in doubles and loops, from a golden
 * checkpoint: apart from the model's own code and every kernel. What is cached may come from
 * elsewhere, so that a cache's rounding can be told from all other errors.
 *
 * Legend: D hidden, H heads, N nope, P rope, V value, C latents.
 */
import { at } from '../../src/base/assert.ts';
import { type GoldenTensors, goldenJson, goldenTensor, goldenTensors } from './golden.ts';

type Vector = Float64Array;

interface PlainConfig {
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly qk_nope_head_dim: number;
  readonly qk_rope_head_dim: number;
  readonly v_head_dim: number;
  readonly kv_lora_rank: number;
  readonly first_k_dense_replace: number;
  readonly n_group: number;
  readonly topk_group: number;
  readonly num_experts_per_tok: number;
  readonly routed_scaling_factor: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
}

/** `[latent | rotated key]` of a position in a layer, or null for what the pass itself finds. */
export type CachedToken = (layer: number, position: number) => ArrayLike<number> | null;

export interface PlainPass {
  /** Of each position. */
  readonly logits: readonly Vector[];
  /** `[latent | rotated key]` of each layer and position, before any rounding. */
  readonly tokens: readonly (readonly Vector[])[];
  /** Experts of each layer and position; none in a dense layer. */
  readonly routed: readonly (readonly (readonly number[])[])[];
}

/** A position that is attended to. */
interface Seen {
  readonly keyValues: Vector;
  readonly key: Vector;
}

export class PlainModel {
  readonly config: PlainConfig;
  readonly #tensors: GoldenTensors;

  private constructor(config: PlainConfig, tensors: GoldenTensors) {
    this.config = config;
    this.#tensors = tensors;
  }

  static async open(folder: string): Promise<PlainModel> {
    const config = goldenJson(`${folder}/config.json`) as PlainConfig;
    return new PlainModel(config, await goldenTensors(`${folder}/model.safetensors`));
  }

  /** One sequence from position 0, attending to what is cached. */
  run(ids: readonly number[], cached: CachedToken): PlainPass {
    const embedding = this.#weight('model.embed_tokens.weight');
    const width = at(embedding.shape, 1);
    const states = ids.map((id) =>
      Float64Array.from(embedding.values.subarray(id * width, (id + 1) * width)),
    );
    const tokens: Vector[][] = [];
    const routed: number[][][] = [];
    for (let layer = 0; layer < this.config.num_hidden_layers; layer++) {
      const normed = states.map((x) => this.#norm(x, `model.layers.${layer}.input_layernorm`));
      const own = normed.map((x, position) => this.#token(layer, x, position));
      const seen = own.map((token, s) => this.#seen(layer, cached(layer, s) ?? token));
      const chosen: number[][] = [];
      for (const [position, x] of states.entries()) {
        addTo(x, this.#attend(layer, at(normed, position), seen.slice(0, position + 1)));
        const { out, experts } = this.#feedForward(layer, x);
        addTo(x, out);
        chosen.push(experts);
      }
      tokens.push(own);
      routed.push(chosen);
    }
    const logits = states.map((x) => this.#times('lm_head', this.#norm(x, 'model.norm')));
    return { logits, tokens, routed };
  }

  #token(layer: number, x: Vector, position: number): Vector {
    const { kv_lora_rank: C } = this.config;
    const prefix = `model.layers.${layer}.self_attn`;
    const both = this.#times(`${prefix}.kv_a_proj_with_mqa`, x);
    const latent = this.#norm(both.subarray(0, C), `${prefix}.kv_a_layernorm`);
    return Float64Array.from([...latent, ...this.#rotated(both.subarray(C), position)]);
  }

  #seen(layer: number, cached: ArrayLike<number>): Seen {
    const { kv_lora_rank: C } = this.config;
    const token = Float64Array.from(cached);
    const prefix = `model.layers.${layer}.self_attn`;
    const keyValues = this.#times(`${prefix}.kv_b_proj`, token.subarray(0, C));
    return { keyValues, key: token.subarray(C) };
  }

  #attend(layer: number, x: Vector, seen: readonly Seen[]): Vector {
    const { num_attention_heads: H, v_head_dim: V } = this.config;
    const { qk_nope_head_dim: N, qk_rope_head_dim: P } = this.config;
    const prefix = `model.layers.${layer}.self_attn`;
    const qLatent = this.#norm(this.#times(`${prefix}.q_a_proj`, x), `${prefix}.q_a_layernorm`);
    const q = this.#times(`${prefix}.q_b_proj`, qLatent);
    const heads = new Float64Array(H * V);
    for (let h = 0; h < H; h++) {
      const own = q.subarray(h * (N + P), (h + 1) * (N + P));
      const turned = this.#rotated(own.subarray(N), seen.length - 1);
      const scores = seen.map(({ keyValues, key }) => {
        const nope = keyValues.subarray(h * (N + V), h * (N + V) + N);
        return (dot(own.subarray(0, N), nope) + dot(turned, key)) / Math.sqrt(N + P);
      });
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      for (const [s, weight] of weights.entries()) {
        const value = at(seen, s).keyValues.subarray(h * (N + V) + N, (h + 1) * (N + V));
        addTo(heads.subarray(h * V, (h + 1) * V), value, weight / total);
      }
    }
    return this.#times(`${prefix}.o_proj`, heads);
  }

  #feedForward(layer: number, state: Vector): { out: Vector; experts: number[] } {
    const x = this.#norm(state, `model.layers.${layer}.post_attention_layernorm`);
    const prefix = `model.layers.${layer}.mlp`;
    if (layer < this.config.first_k_dense_replace) {
      return { out: this.#mlp(prefix, x), experts: [] };
    }
    const out = this.#mlp(`${prefix}.shared_experts`, x);
    const routed = this.#route(prefix, x);
    for (const [expert, weight] of routed) {
      addTo(out, this.#mlp(`${prefix}.experts.${expert}`, x), weight);
    }
    return { out, experts: routed.map(([expert]) => expert).toSorted((a, b) => a - b) };
  }

  #mlp(prefix: string, x: Vector): Vector {
    const gate = this.#times(`${prefix}.gate_proj`, x);
    const up = this.#times(`${prefix}.up_proj`, x);
    const inner = gate.map((g, i) => (g / (1 + Math.exp(-g))) * at(up, i));
    return this.#times(`${prefix}.down_proj`, inner);
  }

  /** Experts and their weights (`noaux_tc`). */
  #route(prefix: string, x: Vector): [number, number][] {
    const { n_group, topk_group, num_experts_per_tok, routed_scaling_factor } = this.config;
    const scores = this.#times(`${prefix}.gate`, x).map((logit) => 1 / (1 + Math.exp(-logit)));
    const bias = this.#weight(`${prefix}.gate.e_score_correction_bias`).values;
    const biased = scores.map((score, i) => score + at(bias, i));
    const perGroup = scores.length / n_group;
    const groups = Array.from({ length: n_group }, (_, g) => {
      const [first = 0, second = 0] = biased
        .slice(g * perGroup, (g + 1) * perGroup)
        .toSorted()
        .toReversed();
      return first + second;
    });
    const kept = largest(groups, topk_group);
    const allowed = biased.map((score, i) =>
      kept.includes(Math.floor(i / perGroup)) ? score : Number.NEGATIVE_INFINITY,
    );
    const chosen = largest(allowed, num_experts_per_tok);
    const total = chosen.reduce((sum, expert) => sum + at(scores, expert), 0);
    return chosen.map((i) => [i, (at(scores, i) / total) * routed_scaling_factor]);
  }

  /** Adjacent pairs by position · theta^(−2i/P). */
  #rotated(pairs: Vector, position: number): Vector {
    const out = new Float64Array(pairs.length);
    for (let i = 0; i < pairs.length; i += 2) {
      const angle = position * this.config.rope_theta ** (-i / pairs.length);
      const [a, b] = [at(pairs, i), at(pairs, i + 1)];
      out[i] = a * Math.cos(angle) - b * Math.sin(angle);
      out[i + 1] = a * Math.sin(angle) + b * Math.cos(angle);
    }
    return out;
  }

  #norm(x: Vector, name: string): Vector {
    const gain = this.#weight(`${name}.weight`).values;
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + this.config.rms_norm_eps);
    return x.map((value, i) => value * scale * at(gain, i));
  }

  #times(name: string, x: Vector): Vector {
    const { values, shape } = this.#weight(`${name}.weight`);
    const [rows = 0, width = 0] = shape;
    return Float64Array.from({ length: rows }, (_, r) =>
      dot(values.subarray(r * width, (r + 1) * width), x),
    );
  }

  #weight(name: string): { shape: readonly number[]; values: Float32Array } {
    const { shape, values } = goldenTensor(this.#tensors, name);
    return { shape, values: values as Float32Array };
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function addTo(to: Vector, x: ArrayLike<number>, factor = 1): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + factor * (x[i] as number);
}

/** Places of the largest numbers; of equal ones the first. */
function largest(values: ArrayLike<number>, count: number): number[] {
  const places = Array.from({ length: values.length }, (_, i) => i);
  return places.toSorted((a, b) => at(values, b) - at(values, a) || a - b).slice(0, count);
}
