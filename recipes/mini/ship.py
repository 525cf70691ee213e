"""Turns a training run into what ships: `python -m recipes.mini.ship`.

The weights are rounded to float16 once, so that the checkpoint (``models/onespace-mini``, for fine-tuning) and the ONNX
folder in the wheel (``src/onespace/assets/mini``) hold the same numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer as Vocabulary

from onespace.checkpoint import read, write
from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.export import export_onnx
from onespace.families.mini import save
from onespace.model import FusedModel
from onespace.prepare.tokens import Tokenizer
from recipes.mini.history import history, started_from, write_runs
from recipes.mini.train import BUILD, spec

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "models" / "onespace-mini"
SHIPPED = ROOT / "src" / "onespace" / "assets" / "mini"


def trained(run: Path, *, before: float = 0.0) -> Encoder:
    """The encoder of a run, its weights rounded to float16.

    ``before`` is the share of the checkpoint from which the run started in a mean of both, weight by weight: the two
    lie in one valley, and between them it is lower than at either (Wortsman et al. 2022, Model soups).
    """
    vocabulary = Vocabulary.from_file(str(run / "tokenizer.json"))
    state = torch.load(run / "state.pt", weights_only=True)
    weights = {k.removeprefix("model."): v.float() for k, v in state["module"].items() if k.startswith("model.")}
    start = started_from(run)
    if before and start:
        old = read(start / "model.safetensors")
        weights = {k: torch.lerp(v, old[k].float(), before) for k, v in weights.items()}
    model = FusedModel(spec(vocabulary.get_vocab_size()))
    model.load_state_dict({k: v.half().float() for k, v in weights.items()})
    return Encoder(model.spec, Tokenizer.from_folder(run), TorchEngine(model, device="cpu"))


def main() -> None:
    """Reads the arguments, writes both folders and says how large and how equal they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=BUILD / "run")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--shipped", type=Path, default=SHIPPED)
    parser.add_argument(
        "--before", type=float, default=0.0, help="share of the checkpoint that the run started from, in a mean of both"
    )
    parser.add_argument("--cores", type=int, default=2, help="how many cores it was trained on, for the card")
    parser.add_argument("--on", default="a shared x86_64 server", help="whose cores they are, for the card")
    parser.add_argument("--note", default="", help="a sentence for the card: what changed since the run before it")
    arguments = parser.parse_args()
    encoder = trained(arguments.run, before=arguments.before)
    # read before the folders are emptied: a run may have started from the checkpoint that it replaces
    runs = history(arguments.run, cores=arguments.cores, on=arguments.on, note=arguments.note)
    for folder in (arguments.checkpoint, arguments.shipped):
        shutil.rmtree(folder, ignore_errors=True)
    save(encoder, arguments.checkpoint)
    assert isinstance(encoder.engine, TorchEngine)
    halves = {k: v.half() for k, v in encoder.engine.module.state_dict().items()}
    write(halves, arguments.checkpoint / "model.safetensors")
    write_runs(arguments.checkpoint, runs)
    shutil.copy(Path(__file__).with_name("attributions.md"), ROOT / "src" / "onespace" / "assets" / "ATTRIBUTIONS.md")
    made = export_onnx(encoder, arguments.shipped, precision="fp16")
    said = {"bytes": made.size, "difference": made.difference, "cosine": made.cosine}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
