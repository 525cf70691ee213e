"""One step of learning: a batch to vectors, vectors to a loss, its gradient into the weights, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.engines.torch_engine import TorchEngine
from onespace.files.records import Record
from onespace.train.data import Drawn, Loader
from onespace.train.objective import Objective, Targets, targets
from onespace.train.options import Distil, Options
from onespace.train.ranks import Ranks
from onespace.train.rows import key
from onespace.train.sides import Chunk, Side, Vectors, lengthened, prepare
from onespace.types import Item, Role

PRODUCTS = 64_000_000
"""Most products of tokens with tokens that are held at once."""


@dataclass(frozen=True)
class Prepared:
    """What a process has of a batch, tokenised and with its pictures open."""

    queries: list[Chunk]
    candidates: list[Chunk]
    keys: tuple[Tensor, Tensor]
    """Of the queries and of the candidates."""
    teacher: Tensor | None
    terms: Tensor
    """Ids of all tokens."""
    pictures_only: bool
    """Whether pictures stand on both sides, so that any term may count."""


class Learner(nn.Module):
    """A model that is being trained. It always runs as it will be used: no dropout, normalisation as stored.

    So a chunked batch, or one shared by several processes, has the loss of a whole one. Its ``state_dict`` holds only
    what learns.
    """

    def __init__(self, encoder: Encoder, options: Options, *, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.ranks = ranks or Ranks()
        self.options, self.spec = options, encoder.spec
        losses = options.losses_for(self.spec)
        heads = options.heads_for(losses, self.spec.head_names)
        self.objective = Objective(losses, heads, options.dims, options.temperature)
        self.module = cast(TorchEngine, encoder.engine).module.eval()
        self.reader = _reading(encoder, options.max_tokens)

    def train(self, mode: bool = True) -> Learner:  # noqa: ARG002 - the loop asks for it; see the class
        """Leaves everything as it is used."""
        super().train(False)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights that learn."""
        names = {name for name, p in self.named_parameters() if p.requires_grad}
        return {name: t for name, t in super().state_dict(*args, **kwargs).items() if name in names}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """The inverse."""
        names = set(self.state_dict())
        if strict and set(state_dict) != names:
            raise KeyError(sorted(names ^ set(state_dict)))
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def prepare(self, drawn: Sequence[Drawn]) -> Prepared:
        """Makes what this process has of a batch ready."""
        own = list(drawn)[self.ranks.share(len(drawn))]
        queries = [d.query for d in own]
        candidates = [c for d in own for c in d.candidates]
        sides = self._chunks(queries, "query"), self._chunks(candidates, "document")
        ids = [chunk.batch.ids.ravel() for side in sides for chunk in side if chunk.batch.ids is not None]
        return Prepared(
            *sides,
            (torch.tensor([key(r) for r in queries]), torch.tensor([key(r) for r in candidates])),
            torch.tensor([d.scores for d in own]) if self.options.distil in ("teacher", "ranked") else None,
            torch.from_numpy(np.unique(np.concatenate(ids))) if ids else torch.zeros(0, dtype=torch.long),
            all(any(chunk.batch.pixels is not None for chunk in side) for side in sides),
        )

    def _chunks(self, records: Sequence[Record], role: Role) -> list[Chunk]:
        items = [cast(Item, record.item) for record in records]
        return prepare(self.reader, items, heads=self.objective.heads, role=role, size=self.options.chunk)

    def learn(self, batch: Prepared, step: int) -> tuple[float, dict[str, float]]:
        """Puts the gradients of a batch into the weights; the loss, and the share of queries that find their own."""
        terms = self._terms(batch)
        run = partial(self._run, terms=terms)
        count = sum(len(c.rows) for c in (*batch.queries, *batch.candidates))
        keep = self.options.chunk is None or count <= self.options.chunk
        sides = [Side(run, chunks, keep=keep) for chunks in (batch.queries, batch.candidates)]
        rows = [side.vectors() for side in sides]
        sizes = [len(next(iter(some.values()))) for some in rows]
        vectors = [self._gathered(some) for some in rows]
        keys = [self.ranks.gather(k.to(self.device)) for k in batch.keys]
        teacher = None if batch.teacher is None else self.ranks.gather(batch.teacher.to(self.device))
        loss, hits = self._backward(vectors, targets(keys[0], keys[1], teacher), self._distil(step))
        for side, some, size in zip(sides, vectors, sizes, strict=True):
            share = self.ranks.share(size * self.ranks.world)
            gradients = {k: self.ranks.sum(_gradient(t))[share] for k, t in some.items() if t.is_floating_point()}
            side.backward(gradients)
        self.ranks.average_gradients(p for p in self.parameters() if p.requires_grad)
        return self.ranks.mean(loss), {"hit": self.ranks.mean(hits)}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def _backward(self, vectors: list[Vectors], all_targets: Targets, how: Distil) -> tuple[float, float]:
        """Puts gradients into the vectors of all processes, from the loss of this one's queries; it, and its hits."""
        queries, candidates = vectors
        total, hits = 0.0, 0.0
        total_queries = len(all_targets.own)
        for block in self._blocks(queries, candidates, total_queries):
            share = (block.stop - block.start) / (total_queries // self.ranks.world)
            own = all_targets.some(block)
            scores = self.objective.scores({k: t[block] for k, t in queries.items()}, candidates)
            loss = self.objective.loss(scores, own, how)
            best = scores.get("blend", next(iter(scores.values()))).masked_fill(own.masked, float("-inf")).argmax(1)
            if self.options.symmetric:
                loss = (loss + self._symmetric(queries, candidates, all_targets, block)) / 2
            torch.autograd.backward(loss * share)
            total += share * loss.item()
            hits += share * float((best == own.own[:, 0]).float().mean())
        return total, hits

    def _symmetric(self, queries: Vectors, candidates: Vectors, all_targets: Targets, block: slice) -> Tensor:
        """The loss with which the positives of some queries look for them, among all queries."""
        first = all_targets.own[:, 0]
        sought = self.objective.scores(queries, {k: t[first[block]] for k, t in candidates.items()})
        scores = {name: s.T for name, s in sought.items()}  # (C, Q)
        right = torch.arange(len(first), device=first.device)[block]
        return self.objective.loss(scores, Targets(right[:, None], all_targets.masked[:, first].T[block]))

    def _blocks(self, queries: Vectors, candidates: Vectors, total: int) -> Iterator[slice]:
        """The queries of this process, so many at a time that their products of tokens fit."""
        own = self.ranks.share(total)
        size = total
        if "multi" in queries:
            (n, t), (m, u) = queries["multi"].shape[:2], candidates["multi"].shape[:2]
            size = max(1, PRODUCTS // max(1, max(m, n) * t * u))
        for start in range(own.start, own.stop, size):
            yield slice(start, min(own.stop, start + size))

    def _distil(self, step: int) -> Distil:
        if self.options.distil == "self" and step < self.options.distil_after:
            return "none"
        return self.options.distil

    def _terms(self, batch: Prepared) -> Tensor | None:
        """The vocabulary terms that can count in this batch, in order; None without the sparse head."""
        if "sparse" not in self.objective.heads or self.spec.text is None:
            return None
        terms = self.ranks.union(batch.terms.to(self.device))
        skipped = torch.tensor(self.spec.heads.sparse_skip, device=self.device, dtype=terms.dtype)
        terms = terms[~torch.isin(terms, skipped)]
        named = self.spec.heads.sparse == "tokens+terms" and self.ranks.most(int(batch.pictures_only))
        return torch.arange(self.spec.text.vocab, device=self.device) if named or not len(terms) else terms

    def _run(self, batch: Batch, *, terms: Tensor | None) -> Vectors:
        ids, mask, pixels = (
            None if a is None else torch.from_numpy(a).to(self.device) for a in (batch.ids, batch.mask, batch.pixels)
        )
        named = {"terms": terms} if terms is not None and self.spec.heads.sparse == "tokens+terms" else {}
        half = torch.autocast(self.device.type, torch.bfloat16) if self.options.bf16 else nullcontext()
        with half:
            out = self.module(ids, mask, pixels, heads=self.objective.heads, **named)
        found = {name: out[name] for name in ("dense", "multi", "multi_mask") if name in out}
        if terms is not None and ids is not None:
            found["sparse"] = sparse_rows(out["weights"], ids, terms, out.get("terms"))
        return found

    def _gathered(self, vectors: Vectors) -> Vectors:
        """Those of all processes, ready to take gradients."""
        if "multi" in vectors:
            longest = self.ranks.most(vectors["multi"].shape[1])
            vectors = {k: lengthened(t, longest) if k.startswith("multi") else t for k, t in vectors.items()}
        found = {k: self.ranks.gather(t) for k, t in vectors.items()}
        return {k: t.detach().requires_grad_() if t.is_floating_point() else t for k, t in found.items()}


def sparse_rows(weights: Tensor, ids: Tensor, terms: Tensor, named: Tensor | None = None) -> Tensor:
    """The largest weight of each term: weights and ids (N, L), terms (U,) in order, named (N, U) -> (N, U).

    >>> sparse_rows(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[7, 5, 7]]), torch.tensor([5, 7]))
    tensor([[3., 2.]])
    """
    place = torch.searchsorted(terms, ids).clamp(max=len(terms) - 1)
    weights = torch.where(terms[place] == ids, weights, torch.zeros_like(weights))
    rows = weights.new_zeros(len(ids), len(terms)).scatter_reduce(1, place, weights, "amax")
    return rows if named is None else torch.maximum(rows, named)


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _reading(encoder: Encoder, max_tokens: int | None) -> Encoder:
    """The encoder that prepares items: texts may be cut shorter than the model takes."""
    spec = encoder.spec
    limit = min(max_tokens or spec.max_tokens, spec.max_tokens)
    return Encoder(replace(spec, max_tokens=limit), encoder.tokenizer, encoder.engine)


def objective_of(learner: Learner, loader: Loader) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Step -> loss and report, for `onespace.train.loop.Trainer`; the next batch is prepared while this one runs."""
    worker = ThreadPoolExecutor(1)
    ahead: dict[int, Future[Prepared]] = {}

    def load(step: int) -> Prepared:
        return learner.prepare(loader.draw(step))

    def take(step: int) -> tuple[Tensor, dict[str, float]]:
        waiting = ahead.pop(step, None)
        ahead.clear()
        batch = load(step) if waiting is None else waiting.result()
        ahead[step + 1] = worker.submit(load, step + 1)
        loss, report = learner.learn(batch, step)
        return torch.tensor(loss), report

    return take
