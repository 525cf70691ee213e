"""What a file's name says about what is in it, if it says anything."""

from __future__ import annotations

import re
import unicodedata

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_SIZE = re.compile(r"\d+x\d+|v\d+|[a-z]{0,4}\d+[a-z]?", re.IGNORECASE)
_HEX = re.compile(r"(?=.*\d)[0-9a-f]{4,}", re.IGNORECASE)
_NOTHING = """
img image images imgp dsc dscn dscf pxl mvimg picture pictures pic pics photo photos foto screenshot screen shot
bildschirmfoto scan scanned document untitled unnamed unknown download downloads file copy final edited edit original
thumb thumbnail small large medium whatsapp wechat signal cover frame page figure fig at of the jpg jpeg png gif webp
tmp temp new 图片 图像 照片 截图 屏幕截图 微信图片 未命名 副本 画像 写真 スクリーンショット
"""
SAYS_NOTHING = frozenset(_NOTHING.split())
"""Words of cameras, programs and habits."""


def name_in(stem: str) -> str:
    """The words of a file's name (without its ending), or "" when they say nothing about what it shows.

    >>> name_in("Blue_whale-2"), name_in("redSquare (copy)"), name_in("鲸鱼_01")
    ('Blue whale', 'red Square', '鲸鱼')
    >>> name_in("IMG_20240611_1430"), name_in("1f42c"), name_in("9b2d7f3e-51aa-4c0e"), name_in("a1")
    ('', '', '', '')
    """
    words = [word for word in _split(unicodedata.normalize("NFC", stem)) if not _is_number(word)]
    telling = [word for word in words if word.lower() not in SAYS_NOTHING]
    letters = "".join(c for word in telling for c in word if c.isalpha())
    enough = len(letters) > 2 or any(not c.isascii() for c in letters)
    return " ".join(words if len(telling) == len(words) else _without_ends(words)) if telling and enough else ""


def _split(stem: str) -> list[str]:
    """Runs of letters, marks and numbers; blueWhale is two.

    >>> _split("blueWhale_2"), _split("मेष")
    (['blue', 'Whale', '2'], ['मेष'])
    """
    spaced = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "'’" else " " for c in stem)
    return _HUMP.sub(" ", spaced).split()


def _is_number(word: str) -> bool:
    return word.isdecimal() or bool(_SIZE.fullmatch(word) or _HEX.fullmatch(word))


def _without_ends(words: list[str]) -> list[str]:
    """Without the words at both ends that say nothing; inside a name ("house of cards") they belong to it."""
    while words and words[0].lower() in SAYS_NOTHING:
        words = words[1:]
    while words and words[-1].lower() in SAYS_NOTHING:
        words = words[:-1]
    return words
