"""``onespace evaluate``: how good a model is on data with known answers, with 95% intervals."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model, words
from onespace.cli.output import emit_json, losses_told_here, note, print_table

if TYPE_CHECKING:
    from onespace.evaluate import Report, Result

EXAMPLES = """
onespace evaluate captions.csv
onespace evaluate scifact/ sts.csv --model BAAI/bge-m3 --json
onespace evaluate pictures/ --heads dense,multi --k 1,5,10
"""
DETAILS = """
DATA may be a folder in BEIR's layout (corpus.jsonl, queries.jsonl, qrels/), a folder with a folder of pictures for each
class, or a .jsonl, .csv or .tsv file with the columns image and caption (retrieval both ways), image, text and target
(composed retrieval), or sentence1, sentence2 and score (textual similarity). A column "language" gives results by
language. Numbers in brackets are 95% intervals (bootstrap over the queries).
"""
_SPELLED = {"ndcg": "nDCG", "mrr": "MRR", "map": "MAP", "spearman": "Spearman", "pearson": "Pearson"}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "evaluate", "measure a model on data with known answers", EXAMPLES, DETAILS)
    parser.add_argument("data", nargs="+", metavar="DATA", help="folders or tables; see above")
    parser.add_argument(
        "--layout",
        choices=("beir", "captions", "composed", "sts", "classes"),
        help="what DATA holds (default: told from its columns or its shape)",
    )
    parser.add_argument("--split", default="test", metavar="NAME", help="of a BEIR folder (default: test)")
    parser.add_argument("--heads", metavar="LIST", type=words, help="some of dense,sparse,multi (default: all)")
    parser.add_argument(
        "--k", metavar="LIST", type=_numbers, default=(1, 10), help="how many hits count; the last decides (1,10)"
    )
    parser.add_argument(
        "--on-loss",
        choices=("warn", "error", "chunk", "tile"),
        default="warn",
        help="documents that are too long or too large: cut them, leave them out, or encode them in parts",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluates, and prints a table for each task, and one for its languages."""
    from onespace.evaluate import evaluate, read_tasks

    tasks = [task for path in args.data for task in read_tasks(path, layout=args.layout, split=args.split)]
    model = load_model(args)
    with losses_told_here():
        report = evaluate(model, tasks, heads=args.heads, k=args.k, on_loss=args.on_loss, seed=args.seed)
    if args.json:
        emit_json(report.to_dict())
    else:
        _print(report)
    for line in report.notes:
        note(f"note: {line}")
    for name, why in report.broken:
        note(f"left out: {name}: {why}")
    return 0


def _print(report: Report) -> None:
    for number, task in enumerate(dict.fromkeys(result.task for result in report.results)):
        if number:
            print()
        own = [result for result in report.results if result.task == task]
        first = own[0]
        whole = [r for r in own if (r.direction, r.language) == (first.direction, first.language)]
        slices = [r for r in own if (r.direction, r.language) != (first.direction, first.language)]
        about = ", ".join(filter(None, (first.direction, first.language, f"{first.count} in all")))
        shown = _worth_showing(whole)
        header = ("by", _name(first.main[0]), *map(_name, shown))
        rows = [(r.way, str(r.main[1]), *(f"{r.measures[name].mean:.3f}" for name in shown)) for r in whole]
        print_table(header, rows, numbers=len(header) - 1, title=f"{task}: {about}; {report.model}")
        if slices:
            print()
            _print_slices(slices)


def _print_slices(results: Sequence[Result]) -> None:
    """A row for each direction and language, and a column for each way."""
    found = {(r.direction, r.language, r.way): r for r in results}
    by = list(dict.fromkeys(r.way for r in results))
    spoken = any(r.language for r in results)
    rows = []
    for direction, language in dict.fromkeys((r.direction, r.language) for r in results):
        some = [found[direction, language, way] for way in by]
        said = language or direction
        rows.append((said, str(some[0].count), *(str(r.main[1]) for r in some)))
    header = ("language" if spoken else "direction", "count", *(f"{way}, {_name(results[0].main[0])}" for way in by))
    print_table(header, rows, numbers=len(header) - 1)


def _worth_showing(results: Iterable[Result]) -> list[str]:
    """Measures beside the main one, without those that another one equals everywhere."""
    shown: dict[tuple[float, ...], str] = {}
    several = list(results)
    for name in several[0].measures:
        if name != several[0].main[0] and name not in ("ndcg@1", "mrr@1"):
            shown.setdefault(tuple(r.measures[name].mean for r in several), name)
    return list(shown.values())


def _name(measure: str) -> str:
    """As it is written in print.

    >>> _name("ndcg@10"), _name("map"), _name("recall@1")
    ('nDCG@10', 'MAP', 'recall@1')
    """
    word, at, k = measure.partition("@")
    return f"{_SPELLED.get(word, word)}{at}{k}"


def _numbers(text: str) -> tuple[int, ...]:
    if not all(word.isdecimal() for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a list of numbers. Write it like 1,10.")
    return tuple(map(int, text.split(",")))
