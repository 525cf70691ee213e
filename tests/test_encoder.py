from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from tiny_model import TEXTS, tiny_spec, tiny_tokenizer

from onespace import batches, encoder
from onespace.contract import ContractError, check_encoder
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.errors import ImageError, InputError, KindError, LossError
from onespace.prepare.tokens import Tokenizer, Tokens
from onespace.spec import Spec
from onespace.types import Head, Image, Item, Pair


class Recorder:
    """An engine whose dense rows say what went in; it keeps every batch."""

    def __init__(self, width: int = 32) -> None:
        self.batches: list[Batch] = []
        self.width = width

    def run(self, batch: Batch, heads: Collection[Head]) -> dict[str, np.ndarray]:
        self.batches.append(batch)
        n = len(batch.pixels if batch.ids is None else batch.ids)  # type: ignore[arg-type]
        dense = np.zeros((n, self.width), np.float32)
        if batch.ids is not None and batch.mask is not None:
            dense[:, 0] = (batch.ids * batch.mask).sum(1)
        if batch.pixels is not None:
            dense[:, 1] = batch.pixels.reshape(n, -1).mean(1)
        return {"dense": dense}


def dual_spec(*, pair: bool = False) -> Spec:
    trained = ("text/dense", "image/dense", *(["pair/dense"] if pair else []))
    return tiny_spec(fused=False, trained=trained, heads=replace(tiny_spec().heads, sparse="none", multi=0))


def recorded(spec: Spec | None = None) -> tuple[Encoder, Recorder]:
    engine = Recorder()
    return Encoder(
        spec or tiny_spec(trained=("text/dense", "image/dense", "pair/dense")), tiny_tokenizer(), engine
    ), engine


def test_the_contract_holds(tiny_encoder: Encoder) -> None:
    check_encoder(tiny_encoder)


def test_the_contract_lists_what_is_broken(tiny_encoder: Encoder) -> None:
    class Careless:
        """Scales each batch by its size, and lets padding in."""

        def run(self, batch: Batch, heads: Collection[Head]) -> dict[str, np.ndarray]:
            out = tiny_encoder.engine.run(batch, heads)
            if "dense" in out:
                out["dense"] = out["dense"] * len(out["dense"])
            if "multi" in out:
                out["multi_mask"] = np.ones_like(out["multi_mask"])
            return out

    with pytest.raises(ContractError) as caught:
        check_encoder(Encoder(tiny_encoder.spec, tiny_encoder.tokenizer, Careless()))
    for promise in ("one by one: dense", "batch mates", "multi by inf", "dense rows aren't of unit length"):
        assert promise in str(caught.value)


def test_a_mixture_keeps_its_order_and_says_what_was_used(
    tiny_encoder: Encoder, pictures: list[PILImage.Image]
) -> None:
    items: list[Item] = [pictures[0], TEXTS[0], Pair(TEXTS[1], pictures[1]), TEXTS[2], Pair(TEXTS[0], pictures[:2])]
    e = tiny_encoder.encode(items)
    assert e.modalities == ("image", "text", "pair", "text", "pair")
    assert [r.modality for r in e.receipts] == list(e.modalities)
    assert [len(r.pictures) for r in e.receipts] == [1, 0, 1, 0, 2]
    assert [r.tokens_used for r in e.receipts] == [0, 8, 10, 6, 8]
    assert e.receipts[0].pictures[0].width == 40
    assert e.model == "tiny"
    assert e.multi is not None
    assert e.multi.counts.tolist() == [16 + 1, 7, 16 + 9, 5, 32 + 7]
    boxes = e.multi.boxes(4)
    assert boxes[0].tolist() == [0, 0, 10, 5]  # half of the first patch of a 40 x 30 picture is border
    assert np.isnan(boxes[32:]).all()
    assert e.sparse is not None
    assert set(e.sparse.tokens(3)) <= {"▁house", "▁by", "▁the", "▁lake"}
    assert np.isnan(e.multi.boxes(1)).all()


@pytest.mark.parametrize(
    "item", ["a whale", Pair("a whale", np.zeros((4, 4, 3), np.uint8)), np.zeros((4, 4), np.uint8)]
)
def test_one_bare_item_gives_one_row(tiny_encoder: Encoder, item: Item) -> None:
    e = tiny_encoder.encode(item)
    np.testing.assert_array_equal(e.dense, tiny_encoder.encode([item]).dense)
    assert len(e) == 1


@pytest.mark.parametrize("items", [None, 3, {"a": 1}])
def test_what_is_no_series_of_items_is_refused(tiny_encoder: Encoder, items: object) -> None:
    with pytest.raises(InputError, match="pass a list"):
        tiny_encoder.encode(items)  # type: ignore[arg-type]


def test_an_empty_list_has_the_right_shapes(tiny_encoder: Encoder) -> None:
    e = tiny_encoder.encode([])
    assert e.dense is not None
    assert e.sparse is not None
    assert e.multi is not None
    assert (e.dense.shape, e.sparse.shape, len(e.multi), e.multi.width) == ((0, 32), (0, e.sparse.shape[1]), 0, 16)
    assert len(Embeddings.concatenate([e, tiny_encoder.encode("a")])) == 1


def test_only_the_asked_heads_come_out(tiny_encoder: Encoder) -> None:
    assert tiny_encoder.encode(TEXTS[:2], heads=("multi", "dense")).heads == ("dense", "multi")
    assert tiny_encoder.encode(TEXTS[:2], heads="sparse").heads == ("sparse",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": ("dense", "colbert")}, "has dense, sparse, multi"),
        ({"heads": ()}, "has dense, sparse, multi"),
        ({"role": "passage"}, "role='passage'.*document, query"),
        ({"on_loss": "cut"}, "on_loss='cut'.*warn, error, ignore, chunk, tile"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_right(
    tiny_encoder: Encoder, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tiny_encoder.encode(["a"], **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        tiny_encoder.encode_stream(["a"], **arguments)  # type: ignore[arg-type]


def test_a_stream_holds_a_window_and_keeps_order(tiny_encoder: Encoder) -> None:
    asked: list[int] = []

    def items() -> Iterator[str]:
        for i in range(7):
            asked.append(i)
            yield TEXTS[i % 3]

    stream = tiny_encoder.encode_stream(items(), window=3)
    assert asked == []
    first = next(stream)
    assert asked == [0, 1, 2]
    rest = list(stream)
    assert [len(part) for part in (first, *rest)] == [3, 3, 1]
    whole = tiny_encoder.encode(TEXTS[i % 3] for i in range(7))
    np.testing.assert_allclose(Embeddings.concatenate([first, *rest]).dense, whole.dense, atol=1e-6)
    with pytest.raises(InputError, match="window=0"):
        tiny_encoder.encode_stream([], window=0)


def test_errors_in_a_later_window_still_name_the_item(monkeypatch: pytest.MonkeyPatch, tiny_encoder: Encoder) -> None:
    monkeypatch.setattr(encoder, "WINDOW", 2)
    with pytest.raises(InputError, match="item 3"):
        tiny_encoder.encode(["a", "b", "c", None])  # type: ignore[list-item]


# -- loss ----------------------------------------------------------------------------------------------------------


def test_long_texts_are_cut_with_one_warning(tiny_encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    long = " ".join(["whale"] * 60)
    with caplog.at_level(logging.WARNING, "onespace"):
        e = tiny_encoder.encode(["sea", long, "sea", long + " sea"])
    assert [(r.tokens_used, r.tokens_dropped) for r in e.receipts] == [(3, 0), (40, 22), (3, 0), (40, 23)]
    assert [record.message for record in caplog.records] == [
        "tiny: 2 x text cut at the model's length (first: item 1). The receipts say how much; on_loss='error' refuses."
    ]


def test_a_picture_leaves_less_room_for_text(tiny_encoder: Encoder) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    long = " ".join(["whale"] * 60)
    used = [
        r.tokens_used for r in tiny_encoder.encode([long, *(Pair(long, [picture] * k) for k in (1, 2, 3))]).receipts
    ]
    assert used == [40, 40, 32, 16]  # 64 positions, 16 image tokens a picture, at most 40 for a text
    with pytest.raises(InputError, match="item 1 has 4 pictures; tiny takes at most 3"):
        tiny_encoder.encode(["a", Pair("a", [picture] * 4)])


def test_loss_can_be_refused(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    with pytest.raises(LossError, match=r"item 1 has 62 tokens; the model takes 40 here"):
        tiny_encoder.encode(["sea", " ".join(["whale"] * 60)], on_loss="error")
    cropping = tiny_encoder.with_fit("crop")
    with pytest.raises(LossError, match=r"item 1 has a picture that would be cropped. Use encoder.with_fit\('pad'\)"):
        cropping.encode(["sea", pictures[0]], on_loss="error")
    assert tiny_encoder.encode(["sea", pictures[0]], on_loss="error").receipts[1].lossless


def test_cropping_is_told_and_another_fit_is_another_encoder(
    tiny_encoder: Encoder, pictures: list[PILImage.Image], caplog: pytest.LogCaptureFixture
) -> None:
    cropping = tiny_encoder.with_fit("crop")
    with caplog.at_level(logging.WARNING, "onespace"):
        e = cropping.encode(pictures)
    assert "3 x picture cropped (first: item 0)" in caplog.text
    assert np.abs(np.asarray(e.dense) - tiny_encoder.encode(pictures).dense).max() > 1e-3
    with pytest.raises(InputError, match=r"fit='cover'.*crop, pad, squash, tile"):
        tiny_encoder.with_fit("cover")  # type: ignore[arg-type]


# -- kinds ---------------------------------------------------------------------------------------------------------


def test_a_kind_that_the_model_lacks_is_named() -> None:
    model, _ = recorded(tiny_spec(image=None, pixels=None, trained=("text/dense",)))
    with pytest.raises(KindError, match="item 1 is of kind image; tiny takes text only"):
        model.encode(["a", Path("whale.png")])
    with pytest.raises(InputError, match="takes no pictures"):
        model.with_fit("pad")


def test_a_head_that_a_kind_lacks_gives_empty_rows_or_an_error(
    tiny_encoder: Encoder, pictures: list[PILImage.Image]
) -> None:
    spec = tiny_spec(trained=("text/dense", "text/sparse", "text/multi", "image/dense"))
    model = Encoder(spec, tiny_encoder.tokenizer, tiny_encoder.engine)
    e = model.encode([pictures[0], "a whale"])
    assert e.sparse is not None
    assert e.multi is not None
    assert [bool(row) for row in e.sparse.to_dicts()] == [False, True]
    assert e.multi.counts.tolist() == [0, 3]
    with pytest.raises(
        KindError, match=r"item 0 is of kind image, for which tiny has no sparse head.*heads=\('dense',\)"
    ):
        model.encode([pictures[0]], heads=("dense", "sparse"))


def test_dual_encoders_get_pictures_without_text_and_no_pairs() -> None:
    model, engine = recorded(dual_spec())
    e = model.encode(["sea", np.full((4, 4, 3), 255, np.uint8)])
    assert [(b.ids is None, b.pixels is None) for b in engine.batches] == [(True, False), (False, True)]
    assert e.dense is not None
    assert e.dense[0, 0] > 0
    assert e.dense[1, 1] > 0
    with pytest.raises(KindError, match="item 0 is of kind pair; tiny takes text and image only"):
        model.encode([Pair("sea", np.zeros((4, 4, 3), np.uint8))])


def test_dual_encoders_that_were_trained_on_pairs_get_both() -> None:
    model, engine = recorded(dual_spec(pair=True))
    model.encode([Pair("sea", np.zeros((4, 4, 3), np.uint8))])
    assert engine.batches[0].ids is not None
    assert engine.batches[0].pixels is not None
    assert model.encode([Pair(" ".join(["whale"] * 60), np.zeros((4, 4, 3), np.uint8))]).receipts[0].tokens_used == 40


def test_prefixes_mark_queries_and_documents() -> None:
    spec = tiny_spec(query_prefix="sea ", document_prefix="lake ", trained=("text/dense", "image/dense", "pair/dense"))
    model, _ = recorded(spec)
    plain, _ = recorded()
    picture = np.zeros((4, 4, 3), np.uint8)
    got = model.encode(["whale", picture, Pair("whale", picture)], role="query").dense
    np.testing.assert_array_equal(got, plain.encode(["sea whale", picture, Pair("sea whale", picture)]).dense)
    np.testing.assert_array_equal(model.encode(["whale"]).dense, plain.encode(["lake whale"]).dense)


# -- batches and pictures ------------------------------------------------------------------------------------------


def test_batches_are_ordered_by_length_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TOKENS_PER_BATCH", 50)
    monkeypatch.setattr(batches, "PICTURES_PER_BATCH", 2)
    model, engine = recorded()
    picture = np.zeros((4, 4, 3), np.uint8)
    model.encode([*(" ".join(["sea"] * n) for n in (1, 30, 2, 10, 3, 9)), *[picture] * 3, Pair("a", [picture] * 3)])
    sizes = [np.shape(b.ids) for b in engine.batches]
    assert sizes == [(1, 32), (4, 12), (1, 3), (2, 2), (1, 2), (1, 3)]
    model.encode(["sea"] * 5, batch_size=2)
    assert [np.shape(b.ids) for b in engine.batches[len(sizes) :]] == [(2, 3), (2, 3), (1, 3)]


def test_pictures_are_opened_one_batch_ahead_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    monkeypatch.setattr(batches, "PICTURES_PER_BATCH", 1)
    original = encoder.open_image

    def watched(*args: object, **kwargs: object) -> object:
        opened.append(threading.get_ident())
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "open_image", watched)
    model, engine = recorded()
    ahead: list[int] = []

    def run(batch: Batch, heads: Collection[Head]) -> dict[str, np.ndarray]:
        time.sleep(0.01)
        ahead.append(len(opened) - len(ahead))
        return engine.run(batch, heads)

    model.engine = type("Watched", (), {"run": staticmethod(run)})()
    model.encode([np.zeros((4, 4, 3), np.uint8)] * 6)
    assert max(ahead) <= 2
    assert threading.get_ident() not in opened


def test_a_broken_picture_is_named_with_its_source(tmp_path: Path, tiny_encoder: Encoder) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"item 1.*bad\.png"):
        tiny_encoder.encode(["a", bad])
    with pytest.raises(ImageError, match=r"item 0, picture 1.*bad\.png"):
        tiny_encoder.encode([Pair("a", [np.zeros((4, 4, 3), np.uint8), Image(str(bad))])])


def test_special_tokens_get_no_weight_from_pictures(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    sparse = tiny_encoder.encode(pictures, heads="sparse").sparse
    assert sparse is not None
    assert sparse.indices.size
    assert not set(sparse.indices.tolist()) & {0, 1, 2, 3}


def test_threads_share_one_encoder(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    items: list[Item] = [*TEXTS, *pictures]
    wanted = tiny_encoder.encode(items).dense
    results: list[np.ndarray | None] = []
    threads = [threading.Thread(target=lambda: results.append(tiny_encoder.encode(items).dense)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for got in results:
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_capabilities_say_what_was_trained(tiny_encoder: Encoder) -> None:
    spec = tiny_spec(trained=("text/dense",), grafted=("image/dense",), licence="MIT")
    said = Encoder(spec, tiny_encoder.tokenizer, tiny_encoder.engine).capabilities()
    assert said["levels"]["text"] == {"dense": "trained", "sparse": "unsupported", "multi": "unsupported"}
    assert said["levels"]["image"]["dense"] == "grafted"
    assert (said["licence"], said["max_tokens"], said["dimensions"]) == ("MIT", 40, 32)


@pytest.mark.parametrize("shown", [True, False, None])
def test_progress_is_drawn_only_when_asked_for(
    tiny_encoder: Encoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shown: bool | None
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a bar isn't drawn into a file
    tiny_encoder.encode(TEXTS, progress=shown)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("encoding" in captured.err) == bool(shown)


class Device(Recorder):
    """An engine that takes batches before the first is waited for, as a GPU does; it writes down what it was asked."""

    ahead = 2
    tokens = 8
    pictures = 3

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def begin(self, batch: Batch, heads: Collection[Head]) -> Callable[[], dict[str, np.ndarray]]:
        number = len(self.batches)
        out = self.run(batch, heads)
        self.log.append(f"begin {number}")

        def wait() -> dict[str, np.ndarray]:
            self.log.append(f"wait {number}")
            return out

        return wait


def on_device() -> tuple[Encoder, Device]:
    device = Device()
    return Encoder(recorded()[0].spec, tiny_tokenizer(), device), device


def test_a_device_is_given_batches_before_the_first_is_waited_for() -> None:
    model, device = on_device()
    items = ["sea sea sea sea sea sea"] * 5
    assert np.array_equal(model.encode(items).dense, recorded()[0].encode(items).dense)  # type: ignore[arg-type]
    wanted = ["begin 0", "begin 1", "begin 2", "wait 0", "begin 3", "wait 1", "begin 4", "wait 2", "wait 3", "wait 4"]
    assert device.log == wanted


def test_a_device_says_how_many_pictures_it_takes() -> None:
    model, device = on_device()
    device.tokens = 1000
    model.encode([np.zeros((4, 4, 3), np.uint8)] * 7)
    assert [len(b.pixels) for b in device.batches] == [3, 3, 1]  # type: ignore[arg-type]


def test_the_next_window_is_read_by_a_thread_while_a_device_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "WINDOW", 1)
    monkeypatch.setattr(encoder, "WIDER", 2)
    readers: list[int] = []
    read = Tokenizer.encode_batch

    def watched(tokenizer: Tokenizer, texts: list[str], *args: Any, **options: Any) -> list[Tokens]:
        if texts != [""]:  # that's what a picture has for a text
            readers.append(threading.get_ident())
        return read(tokenizer, texts, *args, **options)

    wanted = recorded()[0].encode(["sea", "whale", "a sea", "a whale", "red"]).dense
    monkeypatch.setattr(Tokenizer, "encode_batch", watched)
    got = on_device()[0].encode(["sea", "whale", "a sea", "a whale", "red"]).dense
    assert np.array_equal(got, wanted)  # type: ignore[arg-type]
    assert len(readers) == 3
    assert threading.get_ident() not in readers


def test_a_stream_takes_no_item_early_on_a_device_either() -> None:
    taken: list[int] = []

    def items() -> Iterator[str]:
        for n in range(6):
            taken.append(n)
            yield "sea"

    stream = on_device()[0].encode_stream(items(), window=2)
    next(stream)
    assert taken == [0, 1]
    assert len(list(stream)) == 2
