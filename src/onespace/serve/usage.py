"""What a request used, and what of it was cut: counted from receipts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onespace.types import Receipt


@dataclass(frozen=True)
class Usage:
    """Tokens that were read and dropped, pixels that came in and were cropped away, and pictures."""

    tokens: int = 0
    dropped: int = 0
    pixels: int = 0
    cropped: int = 0
    pictures: int = 0

    @classmethod
    def of(cls, receipts: Iterable[Receipt]) -> Usage:
        """Adds up.

        >>> Usage.of([Receipt("text", tokens_used=8, tokens_dropped=2)]).to_dict()["truncated_tokens"]
        2
        """
        several = list(receipts)
        pictures = [picture for receipt in several for picture in receipt.pictures]
        return cls(
            tokens=sum(r.tokens_used - r.tokens_shared for r in several),
            dropped=sum(r.tokens_dropped for r in several),
            pixels=sum(p.width * p.height for p in pictures),
            cropped=sum(p.cropped for p in pictures),
            pictures=len(pictures),
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens + other.tokens,
            self.dropped + other.dropped,
            self.pixels + other.pixels,
            self.cropped + other.cropped,
            self.pictures + other.pictures,
        )

    def to_dict(self) -> dict[str, int]:
        """As OpenAI counts, with what it doesn't count."""
        return {
            "prompt_tokens": self.tokens,
            "total_tokens": self.tokens,
            "truncated_tokens": self.dropped,
            "image_pixels": self.pixels,
            "cropped_pixels": self.cropped,
        }
