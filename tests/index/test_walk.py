from __future__ import annotations

import os
from pathlib import Path

import pytest

from onespace.errors import InputError
from onespace.index.plan import IndexOptions, make_plan
from onespace.index.readers import READERS
from onespace.index.walk import Base, Found, Selection, walk


def names(*paths: str, **options: object) -> list[str]:
    found = walk(paths, Selection(**options), base=Base(Path.cwd()), suffixes=READERS)  # type: ignore[arg-type]
    return list(found.files)


def test_folders_are_walked_in_the_order_of_names(data):
    pictures = [*(f"data/pics/{i}.png" for i in range(4)), "data/pics/deep/4.png", "data/pics/deep/5.png"]
    assert names("data/pics") == pictures
    assert names("data/pics/deep", "data/pics") == [*pictures[4:], *pictures[:4]]
    assert names("data/pics", recursive=False) == pictures[:4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"globs": ("*.png",)}, ["pics/0.png", "pics/deep/4.png"]),
        ({"globs": ("pics/*.png", "*.pdf")}, ["notes/two.pdf", "pics/0.png", "pics/deep/4.png"]),
        ({"globs": ("*.png",), "exclude": ("deep",)}, ["pics/0.png"]),
        ({"globs": ("*.png",), "exclude": ("pics/deep/*",)}, ["pics/0.png"]),
        ({"globs": ("*.png",), "exclude": ("0.*",)}, ["pics/deep/4.png"]),
    ],
)
def test_globs(data, options, expected):
    for name in ("1", "2", "3", "deep/5"):
        Path(f"data/pics/{name}.png").unlink()
    assert names("data", **options) == [f"data/{name}" for name in expected]


def test_a_file_that_is_named_is_taken_whatever_the_globs_say(data):
    assert names("data/.hidden/9.png", "data/notes/b.txt", globs=("*.pdf",)) == [
        "data/.hidden/9.png",
        "data/notes/b.txt",
    ]


@pytest.mark.parametrize(
    ("path", "said"), [("none", "none isn't there"), ("data/program.py", r"ending '.py' isn't known. Known are .avif")]
)
def test_a_path_that_cannot_be_indexed_is_an_error(data, path, said):
    with pytest.raises(InputError, match=said):
        names(path)


def walked(path: str) -> Found:
    return walk([path], Selection(), base=Base(Path.cwd()), suffixes=READERS)


def test_what_is_no_file_is_skipped(data):
    Path("data/pics/link.png").symlink_to("nowhere.png")
    Path("data/pics/twin.png").symlink_to("0.png")
    Path("data/pics/circle").symlink_to(Path("data/pics").absolute())
    if hasattr(os, "mkfifo"):
        os.mkfifo("data/pics/pipe.png")
    found = walked("data")
    assert found.skipped == 1 + hasattr(os, "mkfifo")
    assert [name for name, _ in found.broken] == ["data/pics/link.png"]
    assert "data/pics/twin.png" in found.files
    assert not any("circle" in name for name in found.files)


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_name_that_is_no_text_is_told_of(data):
    Path(os.fsdecode(b"data/pics/\xff.png")).write_bytes(b"")
    assert walked("data").broken == [(r"'data/pics/\udcff.png'", "has a name that isn't text. Rename it.")]


def test_a_folder_that_cannot_be_looked_into_loses_nothing(data, tiny_encoder, monkeypatch):
    from index_cases import index

    index(tiny_encoder)
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def stat(self: Path, **options: object) -> os.stat_result:
        if "deep/" in self.as_posix():
            raise PermissionError(13, "Permission denied", str(self))
        return os.stat(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "stat", stat)
    report = index(tiny_encoder)
    assert report.removed == 0
    assert [(b.name, b.reason) for b in report.broken] == [
        ("data/pics/deep", "can't be looked into (Permission denied). Give leave to.")
    ]


def test_a_base_names_what_is_above_it_too(tmp_path):
    base = Base(tmp_path / "in" / "side")
    for path in ("in/side/a.png", "in/b.png", "c.png"):
        assert base.path(base.name(tmp_path / path)) == tmp_path / path
    assert base.name(tmp_path / "in/b.png") == "../b.png"


def test_a_plan_needs_no_store(data):
    from onespace.index.manifest import Manifest
    from onespace.store.places import Place

    with Manifest.read(Place.of("none.db")) as manifest:
        plan = make_plan(["data"], manifest, IndexOptions())
    assert len(plan.of("new")) == 12
    assert (plan.gone, plan.skipped, plan.nothing) == ([], 1, False)
    assert not Path("none.db").exists()
