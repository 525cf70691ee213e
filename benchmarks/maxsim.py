"""MaxSim over ragged documents against the padded einsum that is usually written, in the same run on one thread.

    python -m benchmarks.maxsim [DOCUMENTS]         the einsum alone
    python -m benchmarks maxsim                     also pylate's and colpali-engine's scores, and faiss

Both give the mean over 16 query tokens of the best product; lengths are log-normal, 55 tokens on average, 512 at most.
The einsum goes through the documents in blocks of 500, padded to the longest of all and masked with -inf; it is timed
with and without ``optimize=True`` (BLAS), and the faster counts. Exits with 1 below a ratio of 5 or above 1e-5.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.row import Kept, Row, interleave, left_out, pair
from onespace.embeddings import Embeddings, Ragged
from onespace.score import maxsim
from onespace.search import rank
from onespace.types import Modality

TOKENS, WIDTH, BLOCK = 16, 64, 500


@dataclass(frozen=True)
class Result:
    """Processor seconds of the best of three runs each, and the largest difference of two scores."""

    ours: float
    einsum: float
    blas: float
    difference: float

    @property
    def ratio(self) -> float:
        return min(self.einsum, self.blas) / self.ours


def ragged(counts: np.ndarray, seed: int) -> Ragged:
    values = np.random.default_rng(seed).standard_normal((int(counts.sum()), WIDTH)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Ragged(values, np.concatenate([[0], np.cumsum(counts)]))


def drawn(documents: int, longest: int) -> np.ndarray:
    """Log-normal lengths."""
    counts = np.random.default_rng(0).lognormal(np.log(longest) - 2.5, 0.8, documents)
    return np.asarray(counts.astype(int).clip(4, longest))


def padded(query: np.ndarray, documents: Ragged, *, optimize: bool) -> np.ndarray:
    """Scores (M,) of one query by a masked einsum over padded blocks."""
    longest = int(documents.counts.max())
    scores = []
    for start in range(0, len(documents), BLOCK):
        block = documents[start : start + BLOCK]
        mask = np.arange(longest) < block.counts[:, None]  # (B, T)
        rows = np.zeros((*mask.shape, WIDTH), np.float32)
        rows[mask] = block.values
        products = np.einsum("qd,btd->bqt", query, rows, optimize=optimize)
        products = np.where(mask[:, None], products, -np.inf)
        scores.append(products.max(2).mean(1))
    return np.concatenate(scores)


def best(run: Callable[[], np.ndarray], times: int = 3) -> tuple[float, np.ndarray]:
    seconds = []
    for _ in range(times):
        start = time.process_time()
        out = run()
        seconds.append(time.process_time() - start)
    return min(seconds), out


def measure(documents: int, *, longest: int = 512, times: int = 3) -> Result:
    found, asked = ragged(drawn(documents, longest), 1), ragged(np.array([TOKENS]), 2)
    ours, scores = best(lambda: maxsim(asked, found)[0], times)
    einsum, wanted = best(lambda: padded(asked[0], found, optimize=False), times)
    blas, _ = best(lambda: padded(asked[0], found, optimize=True), times)
    return Result(ours, einsum, blas, float(np.abs(scores - wanted).max()))


def rows(quick: bool) -> list[Row]:
    """For ``python -m benchmarks``: late interaction, and exact dense search of several queries at once."""
    return [*late(2000 if quick else 10_000), *dense(20_000 if quick else 100_000)]


def late(count: int) -> list[Row]:
    """MaxSim against the einsum, and against the scores of the libraries that are installed."""
    asked, found = ragged(np.array([TOKENS]), 2), ragged(drawn(count, 512), 1)
    name = f"MaxSim, {count} documents"
    ours, einsum = Kept(lambda: maxsim(asked, found)[0]), Kept(lambda: padded(asked[0], found, optimize=True))
    runs, missing = {"padded einsum": einsum}, []
    for library, make in (("pylate", pylate), ("colpali-engine", colpali)):
        try:
            runs[library] = Kept(make(asked, found))
        except ImportError as error:
            missing.append(left_out(f"{name}: {library}", f"it can't be imported: {error}"))
    taken, *others = interleave([ours, *runs.values()], times=5)
    out = []
    for (peer, run), seconds in zip(runs.items(), others, strict=True):
        note = f"{NOTES[peer]}; largest difference {np.abs(ours.given - run.given).max():.0e}"
        out.append(pair(f"{name}: {peer}", taken, seconds, note=note))
    return [*out, *missing]


NOTES = {
    "padded einsum": f"BLAS; blocks of {BLOCK}",
    "pylate": f"colbert_scores; blocks of {BLOCK}, padded beforehand",
    "colpali-engine": "score_multi_vector, which pads",
}


def pylate(asked: Ragged, found: Ragged) -> Callable[[], np.ndarray]:
    """pylate's scores, given padded blocks with their masks; a mean over the query's tokens, as ours."""
    import torch
    from pylate.scores import colbert_scores
    from torch.nn.utils.rnn import pad_sequence

    query = torch.from_numpy(np.ascontiguousarray(asked[0]))[None]
    blocks = []
    for start in range(0, len(found), BLOCK):
        some = [torch.from_numpy(np.array(found[i])) for i in range(start, min(start + BLOCK, len(found)))]
        lengths = torch.tensor([len(one) for one in some])
        tokens = pad_sequence(some, batch_first=True)  # (B, T, d)
        blocks.append((tokens, torch.arange(tokens.shape[1]) < lengths[:, None]))

    def run() -> np.ndarray:
        scores = [colbert_scores(query, tokens, documents_mask=mask)[0] for tokens, mask in blocks]
        return np.asarray(torch.cat(scores)) / TOKENS

    return run


def colpali(asked: Ragged, found: Ragged) -> Callable[[], np.ndarray]:
    """colpali-engine's scores, given lists; a mean over the query's tokens, as ours."""
    import torch
    import transformers

    from benchmarks.transforms import stand_in

    _ = transformers.AutoModel  # looks for the real torchvision, before there is a stand-in
    with stand_in():
        from colpali_engine.utils.processing_utils import BaseVisualRetrieverProcessor

    query = [torch.from_numpy(np.array(asked[0]))]
    documents = [torch.from_numpy(np.array(found[i])) for i in range(len(found))]
    score = BaseVisualRetrieverProcessor.score_multi_vector
    return lambda: np.asarray(score(query, documents, device="cpu")[0]) / TOKENS


def dense(count: int) -> list[Row]:
    """Exact search of 64 queries at once against faiss's flat index."""
    name = f"dense, {count} documents, 64 queries at once: faiss flat"
    try:
        import faiss
    except ImportError as error:
        return [left_out(name, f"faiss can't be imported: {error}")]
    queries, documents = unit(64, seed=3), unit(count, seed=4)
    asked_rows, found_rows = np.asarray(queries.dense), np.asarray(documents.dense)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(found_rows)
    ours, peer = interleave([lambda: rank(queries, documents), lambda: index.search(asked_rows, 10)], times=5)
    return [pair(name, ours, peer, note="exact")]


def unit(rows: int, *, seed: int) -> Embeddings:
    """Random unit vectors."""
    kinds: list[Modality] = ["text"] * rows
    return Embeddings(tuple(kinds), dense=ragged(np.array([rows]), seed).values)


def main(documents: int) -> int:
    result = measure(documents)
    print(f"{documents} ragged documents, one query of {TOKENS} tokens, width {WIDTH}")
    print(f"onespace.maxsim       {result.ours:8.4f} s")
    print(f"padded einsum         {result.einsum:8.4f} s")
    print(f"padded einsum, BLAS   {result.blas:8.4f} s")
    print(f"ratio {result.ratio:.1f} to the faster einsum; largest difference {result.difference:.1e}")
    return 0 if result.ratio >= 5 and result.difference <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
