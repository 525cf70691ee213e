"""Readers of weights: as exact as torch's own, and safe with files that mean harm."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

from onespace.checkpoint import blank, convert, find_weights, load_into, read, write
from onespace.errors import CheckpointError

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)


class Harm:
    """Runs a command when it is unpickled by anyone who trusts it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def archive(
    path: Path, description: bytes, *, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", description)
        for key, raw in storages.items():
            file.writestr(f"archive/data/{key}", raw)
    return path


class _Describe(pickle.Pickler):
    """Pickles tensors of any claimed size and stride over storage "0", as torch.save would describe them."""

    def persistent_id(self, obj: object) -> object:
        return ("storage", torch.FloatStorage, "0", "cpu", obj.numel) if isinstance(obj, Claimed) else None


class Claimed:
    def __init__(self, numel: int) -> None:
        self.numel = numel


class View:
    def __init__(self, numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments = (Claimed(numel), offset, size, stride, False, {})

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return torch._utils._rebuild_tensor_v2, self.arguments


def described(value: object) -> bytes:
    out = io.BytesIO()
    _Describe(out, 2).dump(value)
    return out.getvalue()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reads_what_torch_saved(tmp_path: Path, dtype: torch.dtype) -> None:
    base = (torch.randn(4, 6) * 3).to(dtype)
    saved = {"whole": base, "turned": base.T, "part": base[1:, 2:4], "scalar": base[0, 0], "empty": base[:0]}
    torch.save(saved, tmp_path / "x.pth")
    found = read(tmp_path / "x.pth")
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[k], saved[k]) and found[k].dtype == dtype for k in saved)


def test_reads_a_module_with_metadata_and_parameters(tmp_path: Path) -> None:
    module = small()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    torch.save({"state_dict": dict(module.named_parameters()), "epoch": 3}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        found = read(tmp_path / name)
        assert all(torch.equal(found[k], v) for k, v in module.state_dict().items())


def test_reads_the_tensors_of_a_torchscript_archive(tmp_path: Path) -> None:
    module = small().eval()
    saved = torch.jit.trace(module, torch.ones(1, 3)) if sys.version_info < (3, 14) else None
    if saved is None:
        pytest.skip("TorchScript is gone")
    torch.jit.save(saved, tmp_path / "x.pt")
    found = read(tmp_path / "x.pt")
    assert all(torch.equal(found[k], v) for k, v in module.state_dict().items())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account of memory")
def test_a_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    write({"a": torch.zeros(8 * 2**20)}, tmp_path / "x.safetensors")
    torch.save({"a": torch.zeros(8 * 2**20)}, tmp_path / "x.pth")
    before = resident()
    kept = [read(tmp_path / "x.safetensors"), read(tmp_path / "x.pth")]
    assert resident() - before < 8 * 2**20
    assert all(float(k["a"][-1]) == 0 for k in kept)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    trace = tmp_path / "trace"
    harm = {"w": torch.ones(2), "x": Harm(f"touch {trace}")}
    torch.save(harm, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="bare pickle" if legacy else r"wants to call (posix|nt)\.system"):
        read(tmp_path / "x.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    "description",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01a\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.",
        b"\x80\x02c__torch__.X\nY\n)\x81}b.",
        b"(ios\nsystem\n.",
        b"\x80\x02].",
        b"\x80\x02",
        b"",
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, description: bytes) -> None:
    path = archive(tmp_path / "x.pth", description, storages={})
    if b"__torch__" in description:
        assert read(path) == {}
    else:
        with pytest.raises(CheckpointError, match=r"x\.pth"):
            read(path)


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    tensors = {"a": torch.randn(300), "b": torch.randn(300)}
    write(tensors, path) if name.endswith("s") else torch.save(tensors, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep if keep > 1 or not keep else keep * len(raw))])
    with pytest.raises(CheckpointError, match=r"x\.(pth|safetensors)"):
        read(path)


def test_a_compressed_archive_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bomb = described({"w": View(2**26, 0, (2**26,), (1,))})
    path = archive(tmp_path / "x.pth", bomb, storages={"0": bytes(2**28)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(CheckpointError, match="compressed"):
        read(path)


@pytest.mark.parametrize(
    "view",
    [
        View(4, 0, (2**40,), (0,)),
        View(4, 0, (5,), (1,)),
        View(4, 2, (3,), (1,)),
        View(4, -1, (2,), (1,)),
        View(4, 0, (2, 2), (1,)),
        View(2**40, 0, (4,), (1,)),
        View(4, 0, (2,), (2**62,)),
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(tmp_path: Path, view: View) -> None:
    path = archive(tmp_path / "x.pth", described({"w": view}), storages={"0": bytes(16)})
    with pytest.raises(CheckpointError, match="damaged"):
        read(path)


def test_an_archive_that_points_outside_itself_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "x.pth")
    raw = bytearray((tmp_path / "x.pth").read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    while b"data/0" not in raw[at : at + 46 + struct.unpack_from("<H", raw, at + 28)[0]]:
        at = raw.rindex(b"PK\x01\x02", 0, at)
    struct.pack_into("<I", raw, at + 42, len(raw) - 5)
    (tmp_path / "x.pth").write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        read(tmp_path / "x.pth")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
@example(changes=[(7299, 92)])  # a backslash in a text, of which the standard library warns
def test_a_damaged_archive_never_fails_in_another_way(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    torch.save({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.half)}, tmp_path / "good.pth")
    raw = bytearray((tmp_path / "good.pth").read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value
    (tmp_path / "bad.pth").write_bytes(raw)
    with suppress(CheckpointError):
        assert all(isinstance(t, torch.Tensor) for t in read(tmp_path / "bad.pth").values())


@pytest.mark.parametrize("content", [b"<!doctype html>", b"version https://git-lfs.github.com/spec/v1\n", None])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a torch archive" if content else "no such file"):
        read(tmp_path / "x.pth")


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "epoch": 3}, tmp_path / "a.pth")
    torch.save([torch.ones(1)], tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="not only tensors: epoch"):
        read(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="a list in place of a state dict"):
        read(tmp_path / "b.pth")


def test_shards_are_read_together_and_accounted_for(tmp_path: Path) -> None:
    write({"a": torch.ones(2)}, tmp_path / "1.safetensors")
    torch.save({"b": torch.zeros(3)}, tmp_path / "2.bin")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "1.safetensors", "b": "2.bin"}}')
    assert find_weights(tmp_path) == index
    assert {k: tuple(t.shape) for k, t in read(index).items()} == {"a": (2,), "b": (3,)}
    index.write_text('{"weight_map": {"a": "1.safetensors", "c": "2.bin"}}')
    with pytest.raises(CheckpointError, match="the shards lack c"):
        read(index)
    index.write_text('{"weight_map": {"a": "../1.safetensors"}}')
    with pytest.raises(CheckpointError, match="outside the folder"):
        read(index)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="not an index"):
        read(index)


def test_weights_are_found_by_their_usual_names(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weight file"):
        find_weights(tmp_path)
    (tmp_path / "odd.pth").touch()
    assert find_weights(tmp_path).name == "odd.pth"
    (tmp_path / "other.pth").touch()
    with pytest.raises(CheckpointError, match=r"odd\.pth, other\.pth"):
        find_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path).name == "model.safetensors"


def test_load_into_shares_memory_and_fills_everything() -> None:
    module = small()
    target = blank(small)
    load_into(target, module.state_dict(), where="x")
    for name, tensor in target.state_dict().items():
        assert tensor.data_ptr() == module.state_dict()[name].data_ptr()
    assert all(p.requires_grad for p in target.parameters())


def test_load_into_renames_ignores_and_casts() -> None:
    given_ = {f"old.{k}": t for k, t in small().state_dict().items()} | {"rope.freqs": torch.ones(2)}
    target = blank(small)
    load_into(target, given_, where="x", rename=[("old.", "")], ignore={"rope.*": "computed"}, dtype=torch.bfloat16)
    assert {t.dtype for t in target.state_dict().values()} == {torch.bfloat16}


def test_load_into_lists_every_problem_at_once() -> None:
    given_ = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(2), "1.weight": torch.ones(2), "9.odd": torch.ones(1)}
    with pytest.raises(CheckpointError) as caught:
        load_into(small(), given_, where="x.pth")
    message = str(caught.value)
    assert "shape: 0.weight is (3, 2) in place of (2, 3)" in message
    assert "unexpected: 9.odd" in message
    assert "missing: 1.bias" in message
    with pytest.raises(CheckpointError, match=r"twice: b\.bias"):
        load_into(
            nn.Linear(1, 1),
            {"a.bias": torch.ones(1), "b.bias": torch.ones(1)},
            where="x",
            rename=[("a.", ""), ("b.", "")],
        )
    with pytest.raises(CheckpointError, match="and 80 more"):
        load_into(nn.Sequential(*(nn.Linear(1, 1) for _ in range(50))), {}, where="x")


def test_convert_keeps_every_number_and_drops_what_is_named(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    saved = {"whole": base, "turned": base.T, "tied": base, "half": base.half(), "rope.freqs": base}
    torch.save(saved, tmp_path / "x.pth")
    found = read(convert(tmp_path / "x.pth", tmp_path / "x.safetensors", drop=["rope.*"]))
    assert found.keys() == saved.keys() - {"rope.freqs"}
    assert all(torch.equal(found[k], saved[k]) for k in found)
    again = read(convert(tmp_path / "x.safetensors", tmp_path / "x.safetensors"))
    assert all(torch.equal(again[k], saved[k]) for k in again)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.pth", "x.safetensors"]
