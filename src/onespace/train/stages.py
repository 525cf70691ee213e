"""Which weights learn in a stage, and with how much memory."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from onespace.errors import InputError
from onespace.spec import Spec
from onespace.train.lora import adapt, blocks
from onespace.train.options import Options

PICTURES = ("image.", "project.", "image_project.", "patch_terms.")
"""What no text passes through."""


def open_weights(module: nn.Module, spec: Spec, options: Options) -> None:
    """Lets those weights learn that the stage trains, and puts adapters in their place where LoRA is asked for.

    Raises:
        InputError: a stage for pictures, of a model that takes none.
    """
    if options.stage == "text-frozen" and spec.image is None:
        raise InputError(f"stage='text-frozen' trains the image tower, and {spec.name} has none. Use stage='full'.")
    for name, parameter in module.named_parameters():
        learns = options.stage != "text-frozen" or name.startswith(PICTURES)
        parameter.requires_grad_(learns)
        if learns:
            parameter.data = parameter.data.clone()  # files are mapped from disk, which must not be written to
    if options.stage == "pairs" or options.lora:
        for part in module.modules():
            if isinstance(part, nn.Embedding):
                part.requires_grad_(False)
    if options.lora:
        adapt(module, options.lora, seed=options.seed)
    if options.checkpointing:
        for block in blocks(module):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
