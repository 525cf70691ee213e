"""Every error that onespace raises on purpose, in one tree.

    Error
    ├── InputError         an item, an argument or a file of the user's can't be used as it is
    │   ├── ImageError     a picture that can't be read, or is too large to be read safely
    │   ├── KindError      an item of a kind (text, image, pair) that the model doesn't take
    │   └── LossError      an item would lose content, and ``on_loss="error"`` was asked for
    ├── ModelError         a model can't be found, read or built
    │   └── CheckpointError  a weights file is damaged, unsafe, or doesn't fit the model
    ├── StoreError         a store can't be opened, read or written
    │   ├── PassportError  a store was made by another model, or by one that now gives other vectors
    │   └── LockedError    another process has the store open
    └── MissingExtra       an optional dependency isn't installed (the message says how to install it)

Every message says what it was, which item or file, and what to do.
"""

from __future__ import annotations


class Error(Exception):
    """The root of the tree: catch this to catch everything that onespace raises on purpose."""


class InputError(Error, ValueError):
    """An item, an argument or a file of the user's can't be used as it is."""


class ImageError(InputError):
    """A picture can't be read, or is too large to be read safely."""


class KindError(InputError):
    """An item is of a kind that the model doesn't take."""


class LossError(InputError):
    """An item would lose content, and ``on_loss="error"`` was asked for."""


class ModelError(Error):
    """A model can't be found, read or built."""


class CheckpointError(ModelError):
    """A weights file is damaged, unsafe, or doesn't fit the model."""


class StoreError(Error):
    """A store can't be opened, read or written."""


class PassportError(StoreError):
    """A store was made by another model, or by one that now gives other vectors."""


class LockedError(StoreError):
    """Another process has the store open."""


class MissingExtra(Error, ImportError):
    """An optional dependency isn't installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which isn't installed. Run: pip install 'onespace[{extra}]'")
