from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError, MissingExtra
from onespace.files import formats as vectors_format
from onespace.files.records import Record
from onespace.files.vectors import Plan, Progress, encode_to_file
from onespace.types import Pair

PLAN = Plan(chunk=3)


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture
def records(tmp_path: Path, pictures: list[PILImage.Image]) -> list[Record]:
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    path = [tmp_path / f"{i}.png" for i in range(4)]
    texts = [Record(f"t{i}", text, text=text) for i, text in enumerate(("whale", "red dragon", "house by the lake"))]
    images = [Record(f"i{i}", p, image=str(p)) for i, p in enumerate(path)]
    pairs = [Record(f"p{i}", Pair("sea", p), text="sea", image=str(p)) for i, p in enumerate(path[:2])]
    broken = [Record("gone", tmp_path / "gone.png", image="gone.png"), Record("bad", None, problem="isn't JSON")]
    return [*texts[:2], images[0], broken[0], pairs[0], *images[1:], broken[1], pairs[1], texts[2]]


def until(records: list[Record], stop: int) -> Iterator[Record]:
    yield from records[:stop]
    raise Killed


class Counting(Encoder):
    """Counts the items that really go through the model."""

    items = 0

    def encode(self, items, **options):
        self.items += len(items)
        return super().encode(items, **options)


def counting(encoder: Encoder) -> Counting:
    return Counting(encoder.spec, encoder.tokenizer, encoder.engine)


@pytest.mark.parametrize("ending", [".npz", ".jsonl", ".parquet"])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    ending: str, tmp_path: Path, records: list[Record], tiny_encoder: Encoder
) -> None:
    whole, resumed = tmp_path / f"whole{ending}", tmp_path / f"resumed{ending}"
    first = encode_to_file(tiny_encoder, records, whole, plan=PLAN)
    assert (first.rows, first.resumed) == (9, 0)
    with pytest.raises(Killed):
        encode_to_file(tiny_encoder, until(records, 7), resumed, plan=PLAN)
    assert not resumed.exists()
    model = counting(tiny_encoder)
    seen: list[Progress] = []
    second = encode_to_file(model, records, resumed, plan=PLAN, progress=seen.append)
    assert second.resumed == 6
    assert model.items == 4  # of the five records left, one was never an item
    assert [p.seen for p in seen] == [3, 6, 9, 11]
    assert second.broken == first.broken
    assert resumed.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.part*"))
    assert not list(tmp_path.glob(".*"))


def test_a_kill_between_the_vectors_and_the_ids_of_a_chunk(
    tmp_path: Path, records: list[Record], tiny_encoder: Encoder
) -> None:
    out = tmp_path / "v.npz"
    with pytest.raises(Killed):
        encode_to_file(tiny_encoder, until(records, 7), out, plan=PLAN)
    (tmp_path / "v.npz.partial" / "000001.json").unlink()
    assert encode_to_file(tiny_encoder, records, out, plan=PLAN).resumed == 3


def test_changed_inputs_are_encoded_again(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    out, fresh = tmp_path / "v.npz", tmp_path / "fresh.npz"
    with pytest.raises(Killed):
        encode_to_file(tiny_encoder, until(records, 7), out, plan=PLAN)
    records[0] = Record("t0", "snow", text="snow")
    assert encode_to_file(tiny_encoder, records, out, plan=PLAN).resumed == 3
    encode_to_file(tiny_encoder, records, fresh, plan=PLAN)
    assert out.read_bytes() == fresh.read_bytes()


def test_other_options_are_refused(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    out = tmp_path / "v.npz"
    with pytest.raises(Killed):
        encode_to_file(tiny_encoder, until(records, 7), out, plan=PLAN)
    with pytest.raises(InputError, match=r"v\.npz\.partial is left from an interrupted run"):
        encode_to_file(tiny_encoder, records, out, plan=Plan(chunk=3, heads=("dense",)))
    with pytest.raises(InputError, match="another model"):
        encode_to_file(tiny_encoder.with_fit("crop"), records, out, plan=PLAN)


def test_npz_opens_as_embeddings_with_ids_beside(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    out = tmp_path / "v.npz"
    result = encode_to_file(tiny_encoder, records, out, plan=PLAN)
    whole = [r for r in records if r.id not in ("gone", "bad")]
    expected = tiny_encoder.encode([r.item for r in whole if r.item is not None])
    got = Embeddings.open(out)
    assert np.allclose(got.dense, expected.dense, atol=1e-5)
    assert got.modalities == expected.modalities
    assert got.sparse is not None
    assert expected.sparse is not None
    for i in range(len(got)):
        assert got.sparse.tokens(i) == pytest.approx(expected.sparse.tokens(i), abs=1e-4)
    with np.load(out) as file:
        assert file["ids"].tolist() == [r.id for r in whole]
        assert file["texts"].tolist() == [r.text for r in whole]
        assert file["images"].tolist() == [r.image for r in whole]
    assert [name for name, _ in result.broken] == ["gone", "bad"]
    assert all(why for _, why in result.broken)


def test_jsonl_and_parquet_hold_the_same(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    lines, table = tmp_path / "v.jsonl", tmp_path / "v.parquet"
    encode_to_file(tiny_encoder, records, lines, plan=PLAN)
    encode_to_file(tiny_encoder, records, table, plan=PLAN)
    rows = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    read = pq.read_table(table)
    assert str(read.schema.field("dense").type) == "fixed_size_list<element: float>[32]"
    assert len(rows) == read.num_rows == 9
    for row, other in zip(rows, read.to_pylist(), strict=True):
        assert json.loads(other.pop("receipt")) == row.pop("receipt")
        assert other == row


def test_only_the_heads_that_were_asked_for(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    out = tmp_path / "v.jsonl"
    encode_to_file(tiny_encoder, records, out, plan=Plan(heads=("dense",)))
    keys = set(json.loads(out.read_text("utf-8").splitlines()[0]))
    assert keys == {"id", "text", "image", "modality", "dense", "receipt"}


def test_strict_stops_at_the_first_broken_record(tmp_path: Path, records: list[Record], tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"^gone: doesn't exist"):
        encode_to_file(tiny_encoder, records, tmp_path / "v.npz", plan=Plan(chunk=3, strict=True))


def test_nothing_to_encode(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match="nothing to encode"):
        encode_to_file(tiny_encoder, [], tmp_path / "v.npz")
    assert not list(tmp_path.iterdir())


def test_all_records_broken(tmp_path: Path, tiny_encoder: Encoder) -> None:
    records = [Record(str(i), None, problem="isn't JSON") for i in range(5)]
    assert encode_to_file(tiny_encoder, records, tmp_path / "v.npz", plan=PLAN).rows == 0
    assert len(Embeddings.open(tmp_path / "v.npz")) == 0


@pytest.mark.parametrize("name", ["v.csv", "v"])
def test_an_unknown_ending_is_refused_before_any_work(name: str, tmp_path: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"Choose one of \.npz, \.parquet, \.jsonl"):
        encode_to_file(tiny_encoder, until([], 0), tmp_path / name)


def test_a_folder_of_that_name_is_refused(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "v.npz").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        encode_to_file(tiny_encoder, until([], 0), tmp_path / "v.npz")


def test_parquet_without_pyarrow(tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_format, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"onespace\[parquet\]"):
        encode_to_file(tiny_encoder, until([], 0), tmp_path / "v.parquet")


def test_items_in_parts_are_refused(tmp_path: Path, tiny_encoder: Encoder, records: list[Record]) -> None:
    with pytest.raises(InputError, match="a row an item"):
        encode_to_file(tiny_encoder.with_fit("tile"), records, tmp_path / "v.npz")
    with pytest.raises(InputError, match="a row an item"):
        encode_to_file(tiny_encoder, records, tmp_path / "v.npz", plan=Plan(on_loss="chunk"))
