// The feed-forward half of a block over a few rows at once, in place:
//
//     n = norm(x)     x += Wdown (silu(Wgate n) ∘ Wup n)  +  Σ_k weight_k · expert_k(n)
//
// T rows, D hidden, E experts, K per token, F their width. Bytes: router, shared experts and every
// chosen expert once, however many of the rows chose it; FLOPs: 2 T per weight. Bound by memory.
// Three sections: router and the gated half of the dense or shared network; the chosen experts'
// gated half; the way down. Experts add in the order of their numbers, so a row's bits do not
// depend on the others.
#pragma once
#include "decode.h"
#include "routeTopK.inl"

namespace moebius {
namespace {

// A row's visit to an expert; sorted by expert, then token.
struct Visits {
  i32* begins;     // [E + 1]
  i32* tokens;     // [T · K]
  float* weights;  // [T · K]
  static i64 words(i64 experts, i64 visits) { return experts + 1 + 2 * visits; }
  Visits(float* memory, i64 experts, i64 visits)
      : begins(reinterpret_cast<i32*>(memory)),
        tokens(begins + experts + 1),
        weights(reinterpret_cast<float*>(tokens + visits)) {}
};

void sortVisits(const Visits& v, const i32* ids, const float* weights, i64 experts, i64 tokens,
                i64 perToken) {
  for (i64 e = 0; e <= experts; e++) v.begins[e] = 0;
  for (i64 i = 0; i < tokens * perToken; i++) v.begins[ids[i] + 1]++;
  for (i64 e = 0; e < experts; e++) v.begins[e + 1] += v.begins[e];
  for (i64 i = 0; i < tokens * perToken; i++) {
    const i32 at = v.begins[ids[i]]++;
    v.tokens[at] = i32(i / perToken);
    v.weights[at] = weights[i];
  }
  for (i64 e = experts; e > 0; e--) v.begins[e] = v.begins[e - 1];
  v.begins[0] = 0;
}

// What a unit of an expert's work costs beyond reading it, per row.
constexpr double kCostPerRow = 0.15;

// args: x_TD, gain, gateUp (may be left out), down (as gateUp), router (may be left out), bias_E,
// counts_E, expertsGateUp, expertsDown (all three as router), perToken, eps, rule
void feedForwardDecode(const Context& context, const double* raw) {
  Args args(raw);
  const auto x = args.matrix();
  const float* gain = args.vector<const float>();
  const Weights gateUp = args.weights();
  const Weights down = args.weights();
  const Weights router = args.weights();
  const float* bias = args.vector<const float>();
  i32* counts = args.vector<i32>();
  const Weights expertsGateUp = args.weights();
  const Weights expertsDown = args.weights();
  const i64 K = args.integer();
  const float eps = args.real();
  const RoutingRule rule(args);

  const i64 T = x.rows;
  const i64 D = x.columns;
  const i64 E = router.values.rows;
  const i64 I = gateUp.values.rows / 2;
  const i64 F = E == 0 ? 0 : expertsDown.values.columns;
  const int threads = context.threads;

  float* logits = scratch<float>(context, T * E + 1);
  float* hidden = scratch<float>(context, T * I + 1);
  float* visited = scratch<float>(context, T * K * F + 1);
  float* sums = scratch<float>(context, T * D);
  const i64 normFloats = T * D;
  const i64 inputs = inputFloats(T, maxOf(D, maxOf(I, F)));
  const i64 routingFloats = E == 0 ? 0 : routingWords(rule, E, K);
  const i64 visitFloats = E == 0 ? 0 : Visits::words(E, T * K);
  const i64 chosenFloats = E + 2 * T * K;
  const i64 perThread =
      (normFloats + inputs + T * D + routingFloats + visitFloats + chosenFloats + 15) / 16 * 16;
  float* memory = scratch<float>(context, threads * perThread);
  const auto normedOf = [&](int thread) { return memory + thread * perThread; };
  const auto inputOf = [&](int thread) { return normedOf(thread) + normFloats; };
  const auto gatheredOf = [&](int thread) { return inputOf(thread) + inputs; };
  const auto routingOf = [&](int thread) { return gatheredOf(thread) + T * D; };
  const auto visitsOf = [&](int thread) {
    return Visits(routingOf(thread) + routingFloats, E, T * K);
  };
  const auto chosenOf = [&](int thread) { return routingOf(thread) + routingFloats + visitFloats; };
  const auto expertOf = [](const Weights& stack, i64 expert, i64 rows) {
    return sourceOf(entryOf(stack, expert, rows), true);
  };

  // What is read after others on the way down: the first chosen expert from `e` on.
  const auto prefetchExpertDown = [&](const Visits& visits, i64 e, int thread) {
    while (e < E && visits.begins[e] == visits.begins[e + 1]) e++;
    if (e == E) return;
    const Share columns(D, thread, threads);
    prefetchStreams(expertOf(expertsDown, e, D), columns.begin, columns.end);
  };
  const auto prefetchWayDown = [&](int thread) {
    const Share columns(D, thread, threads);
    if (I > 0) prefetchStreams(sourceOf(down, true), columns.begin, columns.end);
  };

  onEveryThread(context, [&](int thread) {
    float* normed = normedOf(thread);
    for (i64 t = 0; t < T; t++) normRow(normed + t * D, x.row(t), D, gain, eps);
    Line line(double(E) * rowBytes(router) + double(2 * I) * rowBytes(gateUp), thread, threads);
    const Share ofRouter = line.next(E, rowBytes(router));
    const Share ofGates = line.next(I, 2 * rowBytes(gateUp));
    if (E > 0) {
      prefetchGated(sourceOf(gateUp, true), I, ofGates.begin, ofGates.end);
      dotProducts({normed, D, T, D, sourceOf(router, true), inputOf(thread)}, ofRouter.begin,
                  ofRouter.end, {logits, E, false, nullptr, nullptr});
    }
    if (I > 0) {
      dotGated({normed, D, T, D, sourceOf(gateUp, true), inputOf(thread)}, I, ofGates.begin,
               ofGates.end, {hidden, I, false, nullptr, nullptr});
    }
    if (E == 0) prefetchWayDown(thread);
  });

  if (E > 0) {
    onEveryThread(context, [&](int thread) {
      float* scores = chosenOf(thread);
      float* weights = scores + E;
      i32* ids = reinterpret_cast<i32*>(weights + T * K);
      const RoutingScratch s = routingScratch(routingOf(thread), rule, E, K);
      for (i64 t = 0; t < T; t++) {
        routeRow(rule, logits + t * E, bias, E, K, s, scores, ids + t * K, weights + t * K);
      }
      const Visits visits = visitsOf(thread);
      sortVisits(visits, ids, weights, E, T, K);
      const auto rowsOf = [&](i64 e) { return i64(visits.begins[e + 1] - visits.begins[e]); };
      const auto costOfUnit = [&](i64 e) { return 1.0 + kCostPerRow * double(rowsOf(e)); };
      double total = 0;
      for (i64 e = 0; e < E; e++) {
        if (thread == 0) counts[e] += i32(rowsOf(e));
        if (rowsOf(e) > 0) total += double(F) * costOfUnit(e);
      }
      // The next expert's beginning is asked for while one is read, at last the way down's.
      const auto shareFrom = [&](i64 e, Line& line, Share& units) {
        for (; e < E; e++) {
          if (rowsOf(e) == 0) continue;
          units = line.next(F, costOfUnit(e));
          if (units.begin < units.end) break;
        }
        return e;
      };
      Line line(total, thread, threads);
      Share units(0, 0, 1);
      Share ahead(0, 0, 1);
      for (i64 e = shareFrom(0, line, units), next; e < E; e = next, units = ahead) {
        next = shareFrom(e + 1, line, ahead);
        if (next < E) {
          prefetchGated(expertOf(expertsGateUp, next, 2 * F), F, ahead.begin, ahead.end);
        } else {
          prefetchWayDown(thread);
        }
        const i64 rows = rowsOf(e);
        const i32 first = visits.begins[e];
        float* gathered = gatheredOf(thread);
        for (i64 i = 0; i < rows; i++) {
          copyBytes(gathered + i * D, normedOf(thread) + visits.tokens[first + i] * D,
                    D * i64(sizeof(float)));
        }
        dotGated({gathered, D, rows, D, expertOf(expertsGateUp, e, 2 * F), inputOf(thread)}, F,
                 units.begin, units.end, {visited + first * F, F, false, nullptr, nullptr});
      }
    });
  }

  onEveryThread(context, [&](int thread) {
    const Share columns(D, thread, threads);
    if (columns.begin == columns.end) return;
    if (I > 0) {
      if (E > 0) prefetchExpertDown(visitsOf(thread), 0, thread);
      dotProducts({hidden, I, T, I, sourceOf(down, true), inputOf(thread)}, columns.begin,
                  columns.end, {sums, D, false, nullptr, nullptr});
    } else {
      for (i64 t = 0; t < T; t++) {
        clearFloats(sums + t * D + columns.begin, columns.end - columns.begin);
      }
    }
    if (E > 0) {
      const Visits visits = visitsOf(thread);
      for (i64 e = 0; e < E; e++) {
        const i64 first = visits.begins[e];
        const i64 rows = visits.begins[e + 1] - first;
        if (rows == 0) continue;
        prefetchExpertDown(visits, e + 1, thread);
        dotProducts({visited + first * F, F, rows, F, expertOf(expertsDown, e, D), inputOf(thread)},
                    columns.begin, columns.end,
                    {sums, D, true, visits.tokens + first, visits.weights + first});
      }
    }
    for (i64 t = 0; t < T; t++) {
      float* to = x.row(t) + columns.begin;
      const float* from = sums + t * D + columns.begin;
      writeRow(to, columns.end - columns.begin, [&](i64 i, i64 lanes) {
        return loadSome(to + i, lanes) + loadSome(from + i, lanes);
      });
    }
  });
}

}  // namespace
}  // namespace moebius
