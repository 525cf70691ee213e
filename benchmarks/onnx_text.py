"""bge-base in ONNX: ours against onnxruntime given batches as they come, and against fastembed.

fastembed reads an export of the usual layout (``input_ids`` ... -> ``last_hidden_state``), made here from the same
weights; nothing is downloaded.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import onespace
from benchmarks.padding import in_order
from benchmarks.row import Kept, Row, cosines, interleave, left_out, pair
from onespace.batches import Job, stack
from onespace.encoder import Encoder
from onespace.export import export_onnx

BATCH, LONGEST = 32, 512
NAME = "onespace/random-bge-base"
SPECIAL = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def onnx_rows(model: Encoder, folder: Path, items: list[str], *, note: str) -> list[Row]:
    """Rows against both peers, in batches of 32 as the list has them: neither sorts."""
    told = f"bge-base ONNX, {len(items)} texts"
    with tempfile.TemporaryDirectory() as place:
        ours = Path(place) / "ours"
        export_onnx(model, ours)
        exported = onespace.load(ours)
        heads = exported.spec.head_names
        tokens = exported.tokenizer.encode_batch(items, LONGEST)
        jobs = [Job(i, "text", heads, some.ids) for i, some in enumerate(tokens)]

        def as_they_come() -> None:
            for start in range(0, len(items), BATCH):
                exported.engine.run(stack(jobs[start : start + BATCH], pad_id=1), heads)

        wasted = (
            f"the peer multiplies {in_order([job.length for job in jobs], batch=BATCH):.2f} tokens for each useful one"
        )
        encoded, runs, why = Kept(partial(exported.encode, items)), [as_they_come], ""
        peer = None
        if find_spec("fastembed") is None:
            why = "fastembed isn't installed"
        else:
            peer = Kept(partial(fastembed(folder, Path(place) / "theirs"), items))
            runs.append(peer)
        taken, *others = interleave([encoded, *runs], times=3)
        plain = f"{wasted}; its tokenizer isn't timed; {note}"
        out = [pair(f"{told}: onnxruntime, batches of {BATCH} as they come", taken, others[0], note=plain)]
        if peer is None:
            return [*out, left_out(f"{told}: fastembed", why)]
        alike = f"cosine {cosines(encoded.given, peer.given).min():.6f}"
        return [
            *out,
            pair(f"{told}: fastembed", taken, others[1], note=f"{alike}; {wasted}; batches of {BATCH}; {note}"),
        ]


class Encode:
    """fastembed on a folder, with CLS pooling and unit rows."""

    def __init__(self, folder: Path, threads: int) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        if NAME not in {model["model"] for model in TextEmbedding.list_supported_models()}:
            TextEmbedding.add_custom_model(
                NAME,
                pooling=PoolingType.CLS,
                normalization=True,
                sources=ModelSource(hf=NAME),
                dim=768,
                model_file="model.onnx",
            )
        self.model = TextEmbedding(NAME, specific_model_path=str(folder), threads=threads)

    def __call__(self, items: list[str]) -> np.ndarray:
        return np.stack(list(self.model.embed(items, batch_size=BATCH)))


def fastembed(source: Path, folder: Path) -> Encode:
    """fastembed on an export of the folder of a BERT; as many threads as ours."""
    from onespace.engines.onnx_engine import cores

    export_usual(source, folder)
    return Encode(folder, cores())


def export_usual(source: Path, folder: Path) -> None:
    """The folder of a BERT as ONNX in the usual layout, with the files of its tokenizer."""
    import torch
    from transformers import AutoModel

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = AutoModel.from_pretrained(source, attn_implementation="eager").eval()

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
        ) -> torch.Tensor:
            given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.bert(**given).last_hidden_state

    folder.mkdir(parents=True)
    ids = torch.ones(2, 8, dtype=torch.long)
    names = ("input_ids", "attention_mask", "token_type_ids")
    shape = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=LONGEST)}
    program = torch.onnx.export(
        Tower().eval(),
        (ids, ids.clone(), torch.zeros_like(ids)),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_shapes=dict.fromkeys(names, shape),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(folder / "model.onnx"))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL), "utf-8")
