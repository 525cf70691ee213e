"""Turns a training run into what ships: `python -m recipes.mini.ship`.

The weights are rounded to float16 once, so that the checkpoint (``models/onespace-mini``, for fine-tuning) and the ONNX
folder in the wheel (``src/onespace/assets/mini``) hold the same numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import torch
from tokenizers import Tokenizer as Vocabulary
from torch import Tensor

from onespace.checkpoint import read, write
from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.errors import InputError
from onespace.export import export_onnx
from onespace.families.mini import save
from onespace.model import FusedModel
from onespace.prepare.tokens import Tokenizer
from recipes.mini.history import history, started_from, write_runs
from recipes.mini.train import BUILD, spec

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "models" / "onespace-mini"
SHIPPED = ROOT / "src" / "onespace" / "assets" / "mini"


def trained(*runs: Path, shares: Sequence[float] = ()) -> Encoder:
    """The encoder of a run, its weights rounded to float16; or of several that trained different parts of one start.

    ``shares`` says how much of what each run changed is taken, 1 where nothing is said: start + share * (run - start),
    summed over the runs. Half of the way a model often does better than at either end, since both lie in one valley
    (Wortsman et al. 2022, Model soups).

    Raises:
        InputError: there is no start to measure a change from.
    """
    vocabulary = Vocabulary.from_file(str(runs[0] / "tokenizer.json"))
    start = started_from(runs[0])
    states = [weights_of(run) for run in runs]
    if start is not None:
        old = {k: v.float() for k, v in read(start / "model.safetensors").items()}
        taken = [share for share, _ in zip_longest(shares, runs, fillvalue=1.0)]
        weights = {k: v + sum(s * (new[k] - v) for s, new in zip(taken, states, strict=True)) for k, v in old.items()}
    elif len(runs) > 1 or any(share != 1 for share in shares):
        raise InputError(f"{runs[0]} started from nothing: there is no checkpoint to mix it with. Ship it alone.")
    else:
        (weights,) = states
    model = FusedModel(spec(vocabulary.get_vocab_size()))
    model.load_state_dict({k: v.half().float() for k, v in weights.items()})
    return Encoder(model.spec, Tokenizer.from_folder(runs[0]), TorchEngine(model, device="cpu"))


def weights_of(run: Path) -> dict[str, Tensor]:
    """The model's weights in the state of a run, in float32."""
    state = torch.load(run / "state.pt", weights_only=True)
    return {k.removeprefix("model."): v.float() for k, v in state["module"].items() if k.startswith("model.")}


def main() -> None:
    """Reads the arguments, writes both folders and says how large and how equal they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", type=Path, nargs="+", default=[BUILD / "run"], help="a run, or several that trained different parts"
    )
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--shipped", type=Path, default=SHIPPED)
    parser.add_argument(
        "--share", type=float, nargs="+", default=[], help="how much of what each run changed is taken (default: all)"
    )
    parser.add_argument("--cores", type=int, default=2, help="how many cores it was trained on, for the card")
    parser.add_argument("--on", default="a shared x86_64 server", help="whose cores they are, for the card")
    parser.add_argument(
        "--note", nargs="+", default=[], help="a sentence a run for the card: what changed since the run before it"
    )
    arguments = parser.parse_args()
    encoder = trained(*arguments.run, shares=arguments.share)
    # read before the folders are emptied: a run may have started from the checkpoint that it replaces
    runs = history(*arguments.run, cores=arguments.cores, on=arguments.on, notes=arguments.note)
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
