"""CLIP and BGE-VL against transformers, in both layouts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from dual_oracle import TEXT, TEXTS, VISION, image_features, model, pictures, save, text_features
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import onespace
from onespace.errors import CheckpointError, KindError, ModelError
from onespace.families import clip
from onespace.families.tiny_dual import byte_tokenizer
from onespace.prepare.pixels import to_pixels

SIDE = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}


def config(**text: object) -> CLIPConfig:
    act = {"hidden_act": text.pop("hidden_act", "quick_gelu")}
    return CLIPConfig(
        text_config=TEXT | {"eos_token_id": 258} | act | text, vision_config=VISION | act, projection_dim=20
    )


@pytest.fixture(scope="module")
def oracle() -> CLIPModel:
    return model(config(), CLIPModel)


@pytest.fixture
def folder(oracle: CLIPModel, tmp_path: Path) -> Path:
    return save(oracle, tmp_path / "clip")


LETTER = byte_tokenizer().encode("a").ids[1]


@pytest.mark.parametrize("text", [{}, {"hidden_act": "gelu"}, {"eos_token_id": 2}, {"eos_token_id": LETTER}])
def test_equals_transformers(text: dict[str, object], tmp_path: Path) -> None:
    made = model(config(**text), CLIPModel)
    encoder = onespace.load(save(made, tmp_path))
    texts = ["a whale, a whale", "Walfang"] if LETTER in text.values() else TEXTS  # ends at the first "a"
    want = text_features(made, encoder, texts, length=77)
    np.testing.assert_allclose(encoder.encode(texts).dense, want, atol=2e-5)
    want = image_features(made, CLIPImageProcessorPil(**SIDE), pictures())
    np.testing.assert_allclose(encoder.encode(pictures()).dense, want, atol=2e-5)


def test_pixels_equal_transformers(folder: Path) -> None:
    spec = onespace.load(folder).spec.pixels
    assert spec is not None
    for picture in pictures():
        want = CLIPImageProcessorPil(**SIDE)(images=[picture], return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(to_pixels(picture, spec)[0], want, atol=2e-6)


def test_batch_mates_change_nothing(folder: Path) -> None:
    encoder = onespace.load(folder)
    items = [*TEXTS, *pictures()]
    together = encoder.encode(items).dense
    alone = np.concatenate([encoder.encode([item]).dense for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_long_text_says_what_it_lost(folder: Path) -> None:
    receipt = onespace.load(folder).encode(["long " * 60]).receipts[0]
    assert (receipt.tokens_used, receipt.tokens_dropped) == (77, 5 * 60 + 2 - 77)


def test_plain_clip_refuses_pairs(folder: Path) -> None:
    with pytest.raises(KindError, match="item 1"):
        onespace.load(folder).encode(["a", onespace.Pair("a", pictures()[0])])


def test_bge_vl_adds_the_vectors(folder: Path, oracle: CLIPModel) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["MMRet_CLIP"]}))
    encoder = onespace.load(folder)
    assert encoder.spec.level("pair", "dense") == "trained"
    picture = pictures()[0]
    with torch.no_grad():
        ids = torch.tensor([encoder.tokenizer.encode("a whale").ids])
        text = oracle.get_text_features(input_ids=ids).pooler_output
        pixels = CLIPImageProcessorPil(**SIDE)(images=[picture], return_tensors="pt")
        image = oracle.get_image_features(**pixels).pooler_output
    want = torch.nn.functional.normalize(text + image, dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode([onespace.Pair("a whale", picture)]).dense, want, atol=2e-5)


def openai_state(made: CLIPModel) -> dict[str, torch.Tensor]:
    """The same weights under OpenAI's names, packed and turned as OpenAI holds them."""
    state = {k: v.clone() for k, v in made.state_dict().items() if not k.endswith("position_ids")}
    out = {
        "logit_scale": state["logit_scale"],
        "text_projection": state["text_projection.weight"].T.contiguous(),
        "visual.proj": state["visual_projection.weight"].T.contiguous(),
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
    }
    norms = {"text_model.final_layer_norm": "ln_final", "vision_model.pre_layrnorm": "visual.ln_pre"}
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj"}
    parts |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for kind in ("weight", "bias"):
        for theirs, openai in (norms | {"vision_model.post_layernorm": "visual.ln_post"}).items():
            out[f"{openai}.{kind}"] = state[f"{theirs}.{kind}"]
        for tower, prefix in (("text_model", ""), ("vision_model", "visual.")):
            for n in range(2):
                layer, block = f"{tower}.encoder.layers.{n}", f"{prefix}transformer.resblocks.{n}"
                packed = [state[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                out[f"{block}.attn.in_proj_{kind}"] = torch.cat(packed)
                out |= {f"{block}.{new}.{kind}": state[f"{layer}.{old}.{kind}"] for old, new in parts.items()}
    return out


def wide(act: str) -> CLIPModel:
    """Heads 64 wide, as all of OpenAI's are."""
    text, vision = (sizes | {"hidden_size": 128, "hidden_act": act} for sizes in (TEXT, VISION))
    return model(
        CLIPConfig(text_config=text | {"eos_token_id": 258}, vision_config=vision, projection_dim=20), CLIPModel
    )


def test_openai_layout(tmp_path: Path) -> None:
    made = wide("quick_gelu")
    folder = save(made, tmp_path / "clip")
    buffers = {name: torch.tensor(0) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save(openai_state(made) | buffers, tmp_path / "ViT.pt")
    encoder = onespace.load(folder, weights=tmp_path / "ViT.pt")
    assert encoder.spec.image.tokens == 9
    np.testing.assert_allclose(encoder.encode(TEXTS).dense, onespace.load(folder).encode(TEXTS).dense, atol=2e-6)
    square = pictures()[3]  # the two layouts resize and crop others in another order
    np.testing.assert_allclose(encoder.encode(square).dense, onespace.load(folder).encode(square).dense, atol=2e-6)
    assert (encoder.spec.pixels.order, encoder.spec.pixels.centre) == ("resize-first", "round")


def test_open_clip_says_which_gelu(tmp_path: Path) -> None:
    made = wide("gelu")
    folder = save(made, tmp_path / "clip")
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    torch.save(openai_state(made), folder / "open_clip_pytorch_model.bin")
    with pytest.raises(ModelError, match=r"gelu or quick_gelu.*open_clip_config\.json"):
        onespace.load(folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": 20}}))
    encoder = onespace.load(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS).dense, text_features(made, encoder, TEXTS, length=77), atol=2e-5)


def test_a_resnet_is_refused(tmp_path: Path) -> None:
    torch.save(
        {"visual.conv1.weight": torch.zeros(4, 3, 3, 3), "token_embedding.weight": torch.zeros(9, 4)},
        tmp_path / "RN.pt",
    )
    with pytest.raises(ModelError, match="ResNet"):
        onespace.load(tmp_path)


def test_a_cut_openai_file_is_named(tmp_path: Path) -> None:
    made = wide("quick_gelu")
    tensors = openai_state(made) | {"input_resolution": torch.tensor(24)}
    del tensors["transformer.resblocks.0.mlp.c_fc.bias"]
    torch.save(tensors, tmp_path / "ViT.pt")
    byte_tokenizer().save(tmp_path)
    with pytest.raises(CheckpointError, match=r"ViT\.pt: text\.transformer\.resblocks\.0\.mlp\.c_fc\.bias is missing"):
        onespace.load(tmp_path)


def test_every_key_counts(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    tensors["vision_model.extra"] = torch.zeros(1)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"vision_model\.extra.*missing: text_project\.weight"):
        onespace.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_normalize": False}, "do_normalize is false"),
        ({"resample": 0}, "resample=0"),
        ({"size": {"shortest_edge": 32}}, "takes 24"),
        ({"crop_size": {"height": 24, "width": 20}}, "square"),
        ({"do_center_crop": False}, "takes 24"),
    ],
)
def test_other_pixel_steps_are_refused(change: dict[str, object], message: str, folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(SIDE | change))
    with pytest.raises(ModelError, match=message):
        onespace.load(folder)


def test_an_unknown_activation_is_named(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["text_config"]["hidden_act"] = "relu7"
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match="relu7"):
        onespace.load(folder)


def test_tiny_takes_every_kind() -> None:
    picture = pictures()[0]
    found = clip.tiny().encode(["a", picture, onespace.Pair("a", picture)]).dense
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert abs(found[2] - found[0]).max() > 1e-3
    assert abs(found[2] - found[1]).max() > 1e-3


def test_openai_torchscript(tmp_path: Path) -> None:
    """OpenAI's downloads are TorchScript archives of half precision; their tensors are read, nothing is run."""
    made = wide("quick_gelu")
    folder = save(made, tmp_path / "clip")
    buffers = {name: torch.tensor(0) for name in ("input_resolution", "context_length", "vocab_size")}
    script(openai_state(made) | buffers).half().save(tmp_path / "ViT.pt")
    encoder = onespace.load(folder, weights=tmp_path / "ViT.pt")
    want = onespace.load(folder).encode(TEXTS).dense
    assert (encoder.encode(TEXTS).dense * want).sum(1).min() > 0.999


def script(state: dict[str, torch.Tensor]) -> torch.jit.ScriptModule:
    """A scripted module that holds these tensors under these dotted names."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        at = root
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, torch.nn.Module())
            at = getattr(at, part)
        at.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(root)
