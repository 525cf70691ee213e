"""Vectors as they are written in JSON: numbers, base64, or fewer bits a number."""

from __future__ import annotations

import base64
from typing import Any, Literal, TypeAlias

import numpy as np

from onespace.forms.quantise import Codes, unit
from onespace.serve.refusals import refuse
from onespace.spec import Spec

Form: TypeAlias = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]


def base64_of(row: np.ndarray) -> str:
    """The bytes of little-endian float32.

    >>> base64_of(np.array([1.0]))
    'AACAPw=='
    """
    return base64.b64encode(np.ascontiguousarray(row, "<f4").tobytes()).decode("ascii")


def written(dense: np.ndarray, form: Form) -> list[Any]:
    """One entry a row. ``int8`` scales each row by its largest number; ``binary`` packs signs, eight a byte.

    >>> written(np.array([[0.6, -0.8]], np.float32), "int8"), written(np.array([[0.6, -0.8]], np.float32), "ubinary")
    ([[95, -127]], [[128]])
    """
    if form == "float":
        return [row.tolist() for row in dense]
    if form == "base64":
        return [base64_of(row) for row in dense]
    code: Literal["int8", "binary"] = "int8" if form in ("int8", "uint8") else "binary"
    data = Codes.of(dense, code).data.astype(np.int16)
    shift = {"int8": 0, "uint8": 128, "binary": -128, "ubinary": 0}[form]
    return [row.tolist() for row in data + shift]


def narrow(dense: np.ndarray, dimensions: int | None, spec: Spec) -> np.ndarray:
    """The first numbers of each row, at length 1. Raises `Refused` for a width that the model wasn't trained for."""
    width = spec.heads.dense
    if dimensions in (None, width):
        return dense
    if dimensions not in spec.truncatable:
        widths = ", ".join(map(str, (*spec.truncatable, width)))
        said = f"dimensions={dimensions}: {spec.name} was trained for {widths}. Ask for one of these, or leave it out."
        raise refuse(400, "unsupported_dimensions", said, param="dimensions")
    return unit(dense[:, :dimensions])
