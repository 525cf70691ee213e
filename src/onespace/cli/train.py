"""``onespace train``: a model trained further on a user's own data."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, command, words
from onespace.cli.output import emit_json, note

if TYPE_CHECKING:
    from onespace.encoder import Encoder
    from onespace.train.options import Options

EXAMPLES = """
onespace train drawings/ --stage text-frozen --steps 500 --evaluate-every 50 --out run
onespace train rows.jsonl --model BAAI/bge-m3 --lora 16 --negatives 7 --distil teacher --out run
onespace train triples.jsonl --model run/model --stage pairs --mine --chunk 32 --batch 512 --out run-2
torchrun --nproc-per-node 8 -m onespace train rows.jsonl --model BAAI/bge-m3 --bf16 --out run
"""
DETAILS = """
DATA is a folder of captioned pictures (a .txt of the same name beside each, or metadata.jsonl), or .jsonl or .csv rows
with "query", "pos" and perhaps "neg", or "text" and "image"; several take turns, batch by batch. RUN/model is the
result: --model RUN/model uses it anywhere. A run that was stopped goes on when the same command is given again.
"""
FLOAT_MINI = Path("models", "onespace-mini")
"""The shipped model's float weights, in the repository."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "train", "train a model further on your own texts, pictures and pairs", EXAMPLES, DETAILS
    )
    parser.usage = "onespace train DATA [DATA ...] --out RUN [options]"
    parser.add_argument("data", nargs="+", metavar="DATA", help="files of rows, or folders of captioned pictures")
    parser.add_argument("--out", required=True, metavar="RUN", help="the run's folder")
    parser.add_argument("--model", metavar="NAME", help="a name or a folder (default: onespace-mini's float weights)")
    parser.add_argument("--weights", metavar="FILE", help="a weights file that isn't in the model's folder")
    _add_learnt(parser.add_argument_group("what is learnt"))
    _add_data(parser.add_argument_group("from what"))
    _add_pace(parser.add_argument_group("how long, how fast"))
    _add_memory(parser.add_argument_group("with less memory"))
    _add_kept(parser.add_argument_group("what is measured and kept"))
    parser.set_defaults(run=run)


def _add_learnt(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--stage",
        choices=("text-frozen", "pairs", "full"),
        default="full",
        help="text-frozen: pictures learn, texts keep their vectors; pairs: all but the word tables; full (default)",
    )
    group.add_argument("--losses", metavar="LIST", type=words, default=(), help="some of dense,sparse,multi,blend")
    group.add_argument("--dims", metavar="LIST", type=_numbers, default=(), help="shorter widths, such as 64,128")
    group.add_argument(
        "--distil",
        choices=("none", "self", "teacher", "ranked"),
        default="none",
        help="self: heads learn from their blend; teacher: from pos_scores and neg_scores; ranked: from these alone",
    )
    group.add_argument("--distil-after", type=int, default=0, metavar="N", help="steps before --distil self begins")
    group.add_argument("--temperature", type=float, default=0.02, metavar="T", help="of all scores (default: 0.02)")
    group.add_argument("--symmetric", action="store_true", help="positives also look for their queries, as in CLIP")


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--negatives", type=int, metavar="N", help="hard negatives a query (default: 0; 1 with --mine)")
    group.add_argument("--mine", type=int, nargs="?", const=4, metavar="N", help="find N for each row first (4)")
    group.add_argument("--mine-ranks", default="2:50", metavar="A:B", help="where they stand (default: 2:50)")
    group.add_argument(
        "--mine-margin", type=float, default=0.95, metavar="X", help="their most, of the positive's score"
    )
    group.add_argument("--hold-out", type=float, metavar="X", help="share of rows to measure on (default: 0.1 or 0)")
    group.add_argument("--max-tokens", type=int, metavar="N", help="longest text (default: the model's)")
    group.add_argument("--shuffle", type=int, default=10_000, metavar="N", help="rows drawn from (default: 10000)")


def _add_pace(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=int, metavar="N", help="batches to learn from")
    group.add_argument("--epochs", type=float, metavar="N", help="times to see the data (default: 1)")
    group.add_argument("--batch", type=int, default=64, metavar="N", help="queries a step, over all GPUs (default: 64)")
    group.add_argument("--rate", type=float, metavar="X", help="learning rate (default: 2e-5; 2e-4 with --lora)")
    group.add_argument("--warmup", type=float, default=0.1, metavar="X", help="share of steps it rises (default: 0.1)")
    group.add_argument("--decay", type=float, default=1.0, metavar="X", help="share of steps it falls (default: 1)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same run (default: 0)")


def _add_memory(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--chunk", type=int, metavar="N", help="items a pass; batches may then be of any size")
    group.add_argument("--lora", type=int, default=0, metavar="RANK", help="small adapters instead of all weights")
    group.add_argument("--bf16", action="store_true", help="products in bfloat16")
    group.add_argument("--checkpointing", action="store_true", help="compute activations twice, and keep fewer")


def _add_kept(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--evaluate-every", type=int, default=0, metavar="N", help="steps between two measurements")
    group.add_argument("--metric", choices=("R@1", "R@10", "MRR"), default="R@1", help="the best model's (R@1)")
    group.add_argument("--stop-after", type=int, default=0, metavar="N", help="end after N without a better one")
    group.add_argument("--save-every", type=int, default=100, metavar="N", help="steps that a kill costs at most (100)")
    group.add_argument("--log-every", type=int, default=10, metavar="N", help="steps between two rows (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Trains, and says what came out."""
    options = _options(args)
    model = _model(args)
    from onespace.cli.live import View
    from onespace.train.run import fit

    first = os.environ.get("RANK", "0") == "0"
    with View() as view:
        try:
            result = fit(model, args.data, args.out, options=options, watch=view)
        except KeyboardInterrupt:
            note(f"stopped. The same command goes on from the last of every {options.save_every} steps.")
            raise
    if not first:
        return 0
    if args.json:
        emit_json(
            {
                "model": str(result.model),
                "steps": result.steps,
                "loss": result.loss,
                "before": result.before,
                "measured": result.measured,
                "stopped_early": result.stopped_early,
            }
        )
        return 0
    print(f"{result.model}: {result.steps} steps" + ("" if result.loss is None else f", loss {result.loss:.4f}"))
    if result.measured:
        at = int(result.measured["step"])
        told = [f"{k} {result.before[k]:.3f} -> {v:.3f}" for k, v in result.measured.items() if k != "step"]
        print(f"held-out rows: {', '.join(told)} (kept: step {at})")
    if result.stopped_early:
        note(f"note: ended early: no better {options.metric} in {options.stop_after} measurements.")
    return 0


def _options(args: argparse.Namespace) -> Options:
    from onespace.errors import InputError
    from onespace.train.options import Mining, Options

    mining = None
    if args.mine is not None:
        first, _, last = args.mine_ranks.partition(":")
        if not (first.isdigit() and last.isdigit()):
            raise InputError(f"--mine-ranks {args.mine_ranks!r} must be two ranks, such as 2:50.")
        mining = Mining(negatives=args.mine, first=int(first), last=int(last), margin=args.mine_margin)
    same = (
        "stage", "losses", "dims", "distil", "distil_after", "temperature", "symmetric", "max_tokens", "shuffle",
        "steps", "batch", "rate", "warmup", "decay", "seed", "chunk", "lora", "bf16", "checkpointing",
        "evaluate_every", "metric", "stop_after", "save_every", "log_every",
    )  # fmt: skip
    negatives = args.negatives if args.negatives is not None else int(mining is not None)
    held = args.hold_out if args.hold_out is not None else 0.1 if args.evaluate_every else 0.0
    epochs = args.epochs if args.epochs is not None or args.steps is not None else 1.0
    given = {name: getattr(args, name) for name in same}
    return Options(**given, negatives=negatives, hold_out=held, epochs=epochs, mining=mining)


def _model(args: argparse.Namespace) -> Encoder:
    from onespace.errors import InputError
    from onespace.families import load

    source: str | Path = args.model or "mini"
    if source in ("mini", "onespace-mini"):
        places = (FLOAT_MINI, Path(__file__).parents[3] / FLOAT_MINI)
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise InputError(
                f"the package holds onespace-mini as a graph, which can't learn. Its float weights are {FLOAT_MINI} "
                "in the repository: name that folder with --model, or another model."
            )
        source = found
    elif Path(source).exists():
        source = Path(source)
    return load(source, weights=Path(args.weights) if args.weights else None, device="cpu")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))
