"""What the options of ``onespace serve`` become."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onespace.cli.main import parser
from onespace.cli.serve import options_of
from onespace.errors import ModelError
from onespace.serve.options import Limits, ServeOptions


def test_without_options_the_defaults_hold() -> None:
    assert options_of(parser().parse_args(["serve"])) == ServeOptions()


def test_limits_are_those_that_were_named() -> None:
    argv = "--max-queue 1 --max-queue-tokens 2 --max-body 3 --max-items 4 --max-pixels 5 --deadline 6 --grace 7"
    limits = replace(Limits(), requests=1, queue_tokens=2, body_bytes=3, items=4, picture_pixels=5, deadline=6.0)
    assert options_of(parser().parse_args(["serve", *argv.split()])) == ServeOptions(grace=7.0, limits=limits)


def test_the_numbers_that_a_model_computes_with_reach_it() -> None:
    pytest.importorskip("fastapi")
    from onespace.serve.service import open_model

    options = options_of(parser().parse_args(["serve", "--dtype", "int8"]))
    assert options.dtype == "int8"
    with pytest.raises(ModelError, match="dtype"):  # the shipped model is a graph, whose numbers are settled
        open_model(options, None)
