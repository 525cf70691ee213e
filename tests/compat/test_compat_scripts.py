"""Scripts as they are written for the originals run with only the import changed; and so do our two examples."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
BASE = GOLDEN / "visualized-base-tiny"
BGE, WEIGHTS = str(BASE / "model" / "bge-base-en-v1.5"), str(BASE / "model" / "Visualized_base_en_v1.5.pth")

IMPORTS = {
    "from visual_bge.visual_bge.modeling import Visualized_BGE": (
        "from onespace.compat.visual_bge import Visualized_BGE"
    ),
    "from FlagEmbedding import BGEM3FlagModel": "from onespace.compat.flag_embedding import BGEM3FlagModel",
}

SIMILARITIES = """
import torch
from visual_bge.visual_bge.modeling import Visualized_BGE

model = Visualized_BGE(model_name_bge=BGE, model_weight=WEIGHTS)
model.eval()
with torch.no_grad():
    caption = model.encode(text="the mark of an open source club")
    drawing, photo = model.encode(image=PICTURE), model.encode(image=OTHER)
    both, other = model.encode(image=PICTURE, text="a mark"), model.encode(image=OTHER, text="a mark")

alike = drawing @ photo.T
print("shapes", caption.shape, drawing.shape, both.shape)
print("drawing and photo", alike)
print("drawing and both", (drawing @ both.T).item(), "both and other", (both @ other.T).item())
"""

SEARCH = """
from glob import glob
import torch
from tqdm_or_not import tqdm
from visual_bge.visual_bge.modeling import Visualized_BGE

class Encoder:
    def __init__(self, name, path):
        self.model = Visualized_BGE(model_name_bge=name, model_weight=path)
        self.model.eval()

    def encode_query(self, image_path, text):
        with torch.no_grad():
            vector = self.model.encode(image=image_path, text=text)
        return vector.tolist()[0]

    def encode_image(self, image_path):
        with torch.no_grad():
            vector = self.model.encode(image=image_path)
        return vector.tolist()[0]

encoder = Encoder(BGE, WEIGHTS)
width = len(encoder.encode_image(PICTURE))
rows = [{"vector": encoder.encode_image(path), "path": path} for path in tqdm(sorted(glob(FOLDER + "/*")))]
query = encoder.encode_query(PICTURE, "a horse")
scores = [sum(a * b for a, b in zip(query, row["vector"])) for row in rows]
best = [rows[i]["path"] for i in sorted(range(len(rows)), key=lambda i: -scores[i])[:5]]
"""

HYBRID = """
from FlagEmbedding import BGEM3FlagModel

model = BGEM3FlagModel(M3, use_fp16=True)
questions, passages = ["Where is the harbour?", "Who flies?"], ["The harbour is old.", "A dragon flies over the sea."]
a = model.encode(questions, batch_size=12, max_length=8192)["dense_vecs"]
b = model.encode(passages)["dense_vecs"]
similarity = a @ b.T
one = model.encode(questions, return_dense=True, return_sparse=True, return_colbert_vecs=True)
two = model.encode(passages, return_dense=True, return_sparse=True, return_colbert_vecs=True)
print(model.convert_id_to_token(one["lexical_weights"]))
lexical = model.compute_lexical_matching_score(one["lexical_weights"][0], two["lexical_weights"][0])
late = model.colbert_score(one["colbert_vecs"][0], two["colbert_vecs"][0])
pairs = [[i, j] for i in questions for j in passages]
scores = model.compute_score(pairs, max_passage_length=128, weights_for_different_modes=[0.4, 0.2, 0.4])
"""


def run(script: str, **names: str) -> dict[str, object]:
    """Runs a script in which nothing but the import is another."""
    for old, new in IMPORTS.items():
        script = script.replace(old, new)
    namespace: dict[str, object] = {**names}
    exec(compile(script.replace("from tqdm_or_not import tqdm", "tqdm = list"), "script", "exec"), namespace)
    return namespace


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four pictures and one file that isn't one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("rgb_landscape.png", "rgb_portrait.jpg", "rgba.png", "palette_P.png"):
        (folder / name).write_bytes((BASE / "images" / name).read_bytes())
    return folder


def test_a_script_of_similarities(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, other = str(pictures / "rgb_landscape.png"), str(pictures / "rgba.png")
    names = run(SIMILARITIES, BGE=BGE, WEIGHTS=WEIGHTS, PICTURE=picture, OTHER=other)
    with np.load(BASE / "expected.npz") as expected:
        wanted = (expected["image/rgb_landscape.png"] @ expected["image/rgba.png"].T).item()
    assert names["alike"].item() == pytest.approx(wanted, abs=2e-5)  # type: ignore[attr-defined]
    assert "shapes torch.Size([1, 64]) torch.Size([1, 64]) torch.Size([1, 64])" in capsys.readouterr().out


def test_a_script_of_search(pictures: Path) -> None:
    picture = str(pictures / "rgb_landscape.png")
    names = run(SEARCH, BGE=BGE, WEIGHTS=WEIGHTS, PICTURE=picture, FOLDER=str(pictures))
    assert names["width"] == 64
    assert names["best"][0] == picture  # type: ignore[index]
    assert len(names["best"]) == 4  # type: ignore[arg-type]


def test_a_script_of_three_heads(capsys: pytest.CaptureFixture[str]) -> None:
    names = run(HYBRID, M3=str(GOLDEN / "bge-m3-tiny" / "model" / "bge-m3"))
    scores = names["scores"]
    assert scores["dense"][0] == pytest.approx(names["similarity"][0, 0], abs=2e-5)  # type: ignore[index]
    assert scores["sparse"][0] == pytest.approx(names["lexical"], abs=2e-5)  # type: ignore[index]
    assert scores["colbert"][0] == pytest.approx(float(names["late"]), abs=2e-5)  # type: ignore[index,arg-type]
    assert "'harbour': " in capsys.readouterr().out


# -- examples ----------------------------------------------------------------------------------------------------------


def example(name: str, *arguments: object) -> str:
    """What an example prints."""
    printed, argv = io.StringIO(), sys.argv
    sys.argv = [name, *map(str, arguments), "--bge", BGE, "--weights", WEIGHTS]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    finally:
        sys.argv = argv
    return printed.getvalue()


def test_first_similarities() -> None:
    lines = example("first_similarities.py", "--text", "a whale").splitlines()
    assert lines[:2] == ["each vector has 64 numbers", ""]
    names = ["text", "image 1", "image 2", "image 1 + text", "image 2 + text"]
    assert [line[:14].strip() for line in lines[2:]] == names
    matrix = np.array([line[14:].split() for line in lines[2:]], float)
    np.testing.assert_allclose(matrix, matrix.T)
    np.testing.assert_allclose(matrix.diagonal(), 1)
    assert len(np.unique(matrix)) > 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (["--image", "rgba.png"], 3),  # the query lies in the folder, and isn't searched for itself
        (["--image", "rgba.png", "--text", "a horse"], 3),
        (["--text", "a horse", "--top", "2"], 2),
    ],
)
def test_image_search(pictures: Path, tmp_path: Path, query: list[str], found: int) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    query = [str(pictures / part) if part == "rgba.png" else part for part in query]
    lines = example("image_search.py", pictures, *query, "--out", tmp_path / "sheet.png").splitlines()
    assert len(lines) == found + 1
    scores = [float(line.split()[0]) for line in lines[:-1]]
    assert scores == sorted(scores, reverse=True)
    with PILImage.open(tmp_path / "sheet.png") as sheet:
        cells = found + ("--image" in query)
        assert sheet.size == (cells * 252 + 12, 288)
        assert len(sheet.getcolors(1 << 20) or ()) > 100


@pytest.mark.parametrize(("arguments", "message"), [([], "--image, by --text"), (["--text", "a"], "no picture")])
def test_image_search_says_what_is_missing(tmp_path, arguments, message, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example("image_search.py", tmp_path, *arguments)
    assert message in capsys.readouterr().err
