from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def sts(tmp_path: Path) -> str:
    """Pairs of equal texts with a high score and of different ones with a low one, in two languages."""
    words = ["whale", "dragon", "lake", "house"]
    rows = [f"{w},{w},5,en" for w in words] + [f"{w},{words[i - 1]},0,zh" for i, w in enumerate(words)]
    (tmp_path / "pairs.csv").write_text(
        "\n".join(["sentence1,sentence2,score,language", *rows, "a,b,2,zh", "c,d,1,en"])
    )
    return str(tmp_path / "pairs.csv")


@pytest.fixture
def beir(tmp_path: Path) -> str:
    folder = tmp_path / "notes"
    (folder / "qrels").mkdir(parents=True)
    words = [f"{a} {b}" for a in ("red", "blue", "old") for b in ("whale", "lake", "house", "snow")]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{i}", "text": w}) + "\n" for i, w in enumerate(words))
    )
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{i}", "text": w}) + "\n" for i, w in enumerate(words))
    )
    qrels = "".join(f"q{i}\td{i}\t1\n" for i in range(len(words)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}q0\tgone\t1\n")
    return str(folder)


def test_tables_for_people(sts: str, beir: str, model_folder: str, capsys: Run) -> None:
    assert main(["evaluate", beir, sts, "--model", model_folder, "--heads", "dense"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == "notes: text to text, 12 in all; tiny"
    assert lines[1].split() == ["by", "nDCG@10", "recall@1"]  # measures that others equal aren't repeated
    assert lines[2].split()[:2] == ["dense", "1.000"]
    assert lines[3] == ""
    assert lines[4] == "pairs: text to text, 10 in all; tiny"
    assert lines[5].split() == ["by", "Spearman", "Pearson"]
    assert lines[8].split() == ["language", "count", "dense,", "Spearman"]
    assert [line.split()[:2] for line in lines[9:]] == [["en", "5"], ["zh", "5"]]
    assert "note: 1 judgements of qrels/test.tsv name things that aren't there." in told.err


def test_json(beir: str, model_folder: str, capsys: Run) -> None:
    assert main(["evaluate", beir, "--model", model_folder, "--k", "1,3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "tiny"
    assert [result["by"] for result in told["results"]] == ["dense", "sparse", "multi", "blend"]
    assert set(told["results"][0]["measures"]) == {
        *(f"{name}@{k}" for name in ("ndcg", "recall", "hit", "mrr") for k in (1, 3)), "map"
    }  # fmt: skip
    assert next(iter(told["results"][0]["measures"])) == "ndcg@3"


def test_errors_are_one_line(beir: str, tmp_path: Path, model_folder: str, capsys: Run) -> None:
    for argv, words in (
        ([str(tmp_path)], "no corpus.jsonl"),
        ([beir, "--split", "dev"], "Splits in"),
        ([beir, "--heads", "colour"], "heads="),
        ([beir, "--k", "0"], "numbers from 1"),
    ):
        assert main(["evaluate", *argv, "--model", model_folder]) == 2
        told = capsys.readouterr().err
        assert told.startswith("onespace: error: ")
        assert words in told
        assert told.count("\n") == 1
    with pytest.raises(SystemExit) as left:
        main(["evaluate", beir, "--k", "ten"])
    assert left.value.code == 2
    assert "'ten' isn't a list of numbers" in capsys.readouterr().err
