#!/usr/bin/python3
"""Trains the model of a run of ours in PyTorch: same weights, same tokens, same schedules.

  node bench/exportRun.ts start DIR && /usr/bin/python3 bench/peers/torch_same_run.py DIR

It needs Debian's python3-torch and the benchmark page's `torch_v3_train.py` (folder in
MOEBIUS_SHARED, ../shared by default), whose layers it uses; losses (targets that are ignored, MTP
after the final norm, the balance loss) are written out here. The last line is a JSON object with
the losses and the validation bits per byte.
"""
import json, math, os, sys, time

import numpy as np
import torch
import torch.nn.functional as F

SHARED = os.environ.get("MOEBIUS_SHARED", os.path.join(os.path.dirname(__file__), "../../../shared"))
sys.path.insert(0, os.path.join(SHARED, "bench"))
import torch_v3_train as peer  # noqa: E402

SUMMED = dict(ignore_index=-1, reduction="sum")


class SameModel(peer.Model):
    """The peer's layers with our loss; `balance_terms` collects one term per MoE layer."""

    def hidden(self, ids):
        self.balance_terms = []
        return super().hidden(ids)

    def layer(self, i, x):
        if i < self.c.first_k_dense_replace:
            return super().layer(i, x)
        # The gate's scores are needed for the balance loss, so F.linear is watched for its matrix.
        gate, seen = self.P[f"{i}.gate"], []
        linear = F.linear

        def watching(a, w, *rest):
            out = linear(a, w, *rest)
            if w is gate:
                seen.append(out)
            return out

        peer.F.linear = watching
        try:
            y = super().layer(i, x)
        finally:
            peer.F.linear = linear
        scores = torch.sigmoid(seen[0]).view(x.shape[0], x.shape[1], -1)
        self.balance_terms.append(self.balance_loss(scores))
        return y

    def balance_loss(self, s):
        E, K = self.c.n_routed_experts, self.c.num_experts_per_tok
        with torch.no_grad():
            chosen = torch.zeros_like(s).scatter_(-1, s.topk(K, dim=-1)[1], 1.0)
            f = chosen.sum(1) * E / (K * s.shape[1])
        p = (s / s.sum(-1, keepdim=True)).mean(1)
        return (f * p).sum(-1).mean()

    def losses(self, ids, targets, mtp_targets):
        c, P, ops, H = self.c, self.P, self.ops, self.c.hidden_size
        x = ops.norm(self.hidden(ids), P["norm"])
        main = F.cross_entropy(
            F.linear(x.reshape(-1, H), P["head"]), targets.reshape(-1), **SUMMED
        )
        if not mtp_targets:
            return main, None
        L = c.num_hidden_layers
        p = f"{L}."
        e = ops.norm(F.embedding(ids[:, 1:], P["embed"]), P[p + "enorm"])
        m = F.linear(torch.cat([e, ops.norm(x[:, :-1], P[p + "hnorm"])], -1), P[p + "eh"])
        m = ops.norm(self.layer(L, m), P[p + "mnorm"])
        mtp = F.cross_entropy(
            F.linear(m.reshape(-1, H), P["head"]), mtp_targets[0].reshape(-1), **SUMMED
        )
        return main, mtp


class Batches:
    """Micro-batches from the exported stream, in order."""

    def __init__(self, path, length, depth):
        self.data = np.fromfile(path, dtype=np.int32)
        self.at, self.length, self.depth = 0, length, depth

    def take(self, rows, columns):
        n = rows * columns
        part = self.data[self.at : self.at + n].astype(np.int64).reshape(rows, columns)
        self.at += n
        return torch.from_numpy(part)

    def next(self, rows):
        ids, targets = self.take(rows, self.length), self.take(rows, self.length)
        mtp = [self.take(rows, self.length - k) for k in range(1, self.depth + 1)]
        return ids, targets, mtp


def bits_per_byte(model, folder, run):
    batches = Batches(os.path.join(folder, "validation.bin"), run["length"], run["mtpDepth"])
    nats = 0.0
    with torch.no_grad():
        for rows in run["validation"]["sizes"]:
            ids, targets, _ = batches.next(rows)
            x = model.ops.norm(model.hidden(ids), model.P["norm"])
            logits = F.linear(x, model.P["head"]).reshape(-1, model.c.vocab_size)
            nats += F.cross_entropy(
                logits, targets.reshape(-1), ignore_index=-1, reduction="sum"
            ).item()
    return nats / math.log(2) / run["validation"]["numBytes"]


def main():
    folder = sys.argv[1]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    run = json.load(open(os.path.join(folder, "run.json")))
    c = peer.Cfg(os.path.join(folder, "checkpoint", "config.json"))
    P, B = peer.load_checkpoint(c, os.path.join(folder, "checkpoint"))
    for name in P:
        P[name] = P[name].requires_grad_(True)
    model = SameModel(c, P, B, peer.Best(c, run["length"]), run["length"])
    first = run["steps"][0]["optimizer"]
    settings = dict(betas=(first["beta1"], first["beta2"]), eps=first["epsilon"], foreach=True)
    matrices = [p for p in P.values() if p.dim() > 1]
    gains = [p for p in P.values() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": first["weightDecay"]},
            {"params": gains, "weight_decay": 0.0},
        ],
        lr=first["learningRate"],
        **settings,
    )
    batches = Batches(os.path.join(folder, "batches.bin"), run["length"], run["mtpDepth"])
    history, began = [], time.time()
    for index, step in enumerate(run["steps"]):
        parts = [batches.next(rows) for rows in step["sizes"]]
        counts = [(t >= 0).sum().item() for t in (torch.cat([p[1] for p in parts]),)]
        counts += [sum((p[2][k] >= 0).sum().item() for p in parts) for k in range(run["mtpDepth"])]
        seen, loads = 0.0, {}
        for ids, targets, mtp in parts:
            main_loss, mtp_loss = model.losses(ids, targets, mtp)
            loss = main_loss / counts[0]
            seen += loss.item()
            balance = sum(model.balance_terms) / len(parts)
            loss = loss + step["balanceCoefficient"] * balance
            if mtp_loss is not None:
                loss = loss + step["mtpWeight"] * mtp_loss / counts[1]
            loss.backward()
            for i, load in model.load.items():
                loads[i] = loads.get(i, 0) + load
        torch.nn.utils.clip_grad_norm_(list(P.values()), step["optimizer"]["maxGradientNorm"])
        for group in optimizer.param_groups:
            group["lr"] = step["optimizer"]["learningRate"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for i, load in loads.items():
            model.B[i] += step["biasSpeed"] * torch.sign(load.float().mean() - load)
        history.append(seen)
        if (index + 1) % 50 == 0:
            rate = (time.time() - began) / (index + 1)
            print(f"step {index + 1} main {history[-1]:.4f} {rate:.2f} s/step", file=sys.stderr)
    print(
        json.dumps(
            {
                "steps": len(history),
                "firstMainLoss": history[0],
                "lastMainLoss": history[-1],
                "mainLosses": history[:: max(1, len(history) // 20)],
                "secondsPerStep": (time.time() - began) / len(history),
                "validationBitsPerByte": bits_per_byte(model, folder, run),
            }
        )
    )


main()
