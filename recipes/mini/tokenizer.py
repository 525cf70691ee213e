"""Step 3: a multilingual Unigram vocabulary with XLM-R's special ids.

    python -m recipes.mini.tokenizer

Learns from the training texts and our templates, lower-cased; scripts are balanced, so that the
sixty Latin locales do not starve the one Khmer locale. Writes build/mini/tokenizer.json.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from recipes.mini.concepts import emoji_names
from recipes.mini.sources import BUILD, read_jsonl
from recipes.mini.templates import phrases
from recipes.mini.texts import TEXTS

TOKENIZER = BUILD / "tokenizer.json"
VOCABULARY = 32_000
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BALANCE = 0.8
MAX_REPEATS = 8
TEMPLATE_REPEATS = 200
ENGLISH_REPEATS = 120
SQUEEZED_REPEATS = 30

TRY = [
    "bluewhale",
    "blue whale",
    "一条龙",
    "Starehe ya nyangumi",
    "logo of a whale",
    "the logo of an open source community",
    "一个开源组织的标志",
]
MUST = "logo icon drawing picture photo sign emblem community open source 标志 图标 组织 开源 社区 一只 一条 一张 图片"


def empty_tokenizer() -> Tokenizer:
    """The pipeline around the vocabulary: NFKC, lower case, single spaces, Metaspace."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace("\ufe0f", ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def script(text: str) -> str:
    """The script of a text, by the first word of its letters' Unicode names.

    >>> script("鲸鱼"), script("кит 2"), script("whale")
    ('CJK', 'CYRILLIC', 'LATIN')
    """
    names = (unicodedata.name(c, "OTHER").split(" ")[0] for c in text if c.isalpha())
    return Counter(names).most_common(1)[0][0] if any(c.isalpha() for c in text) else "OTHER"


def texts_by_locale() -> dict[str, list[str]]:
    """The training texts of each locale, names twice, since a name is said once and a keyword often."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in read_jsonl(TEXTS):
        if row["split"] == "train":
            found[row["locale"]] += [row["text"]] * (2 if row["kind"] == "name" else 1)
    return dict(found)


def repeats(texts: dict[str, list[str]]) -> dict[str, int]:
    """How often each locale is read, so that a script's share goes with its size to the power BALANCE."""
    scripts = {locale: script(" ".join(rows[:300])) for locale, rows in texts.items()}
    size: Counter[str] = Counter()
    for locale, rows in texts.items():
        size[scripts[locale]] += sum(map(len, rows))
    largest = max(size.values())
    return {
        locale: max(1, min(MAX_REPEATS, round((largest / size[name]) ** (1 - BALANCE))))
        for locale, name in scripts.items()
    }


def corpus(texts: dict[str, list[str]]) -> Iterator[str]:
    """Every training text as often as `repeats` says; English and our templates more often.

    English also comes without its spaces, so that the pieces of "bluewhale" are "blue" and "whale".
    """
    times = repeats(texts)
    for locale, rows in texts.items():
        for _ in range(ENGLISH_REPEATS if locale == "en" else times[locale]):
            yield from rows
    for _ in range(SQUEEZED_REPEATS):
        yield from (text.replace(" ", "") for text in texts["en"] if 1 <= text.count(" ") <= 2)
    for rows in phrases().values():
        for _ in range(TEMPLATE_REPEATS):
            yield from rows


def alphabet(texts: dict[str, list[str]]) -> list[str]:
    """The single characters that must never be unknown.

    All that occur in training texts and templates, ASCII, the Latin letters with marks, the 3,755
    common Chinese characters (GB 2312, level 1), the kana, the Kannada letters (its texts are
    kept out, its letters are not) and the emoji themselves.
    """
    normalise = empty_tokenizer().normalizer.normalize_str
    found = {c for rows in [*texts.values(), *phrases().values()] for c in normalise(" ".join(rows))}
    found |= {chr(code) for code in [*range(0x21, 0x7F), *range(0xC0, 0x180)]}
    level_1 = bytes(byte for hi in range(0xB0, 0xD8) for lo in range(0xA1, 0xFF) for byte in (hi, lo))
    found |= set(level_1.decode("gb2312", "ignore"))
    found |= {chr(code) for code in [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB)]}
    found |= {chr(code) for code in range(0x0C80, 0x0CF3)}
    found |= {chr(int(point, 16)) for concept in emoji_names() for point in concept.split("-")}
    plain = (c for text in found for c in normalise(text))
    return sorted({c for c in plain if unicodedata.category(c) not in ("Cn", "Cc") and not c.isspace()})


def settled(vocabulary: list[list[Any]]) -> list[list[Any]]:
    """The pieces with ids that are the same in every run: by score, then by spelling.

    The trainer gives characters that it never read a score by the order of a hash table; they get
    that of the rarest piece here.

    >>> special = [[name, 0.0] for name in SPECIAL]
    >>> settled([*special, ["赌", -9.2], ["le", -9.0], ["a", -1.0]])[4:]
    [['a', -1.0], ['le', -9.0], ['赌', -9.0]]
    """
    special, pieces = vocabulary[: len(SPECIAL)], vocabulary[len(SPECIAL) :]
    floor = min(score for piece, score in pieces if len(piece) > 1)
    ranked = sorted((-round(max(score, floor), 6), piece) for piece, score in pieces)
    return [*special, *([piece, -score] for score, piece in ranked)]


def train() -> Tokenizer:
    """The tokenizer; <mask> has the last id."""
    texts, tokenizer = texts_by_locale(), empty_tokenizer()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY - 1,
        special_tokens=SPECIAL,
        unk_token="<unk>",
        initial_alphabet=alphabet(texts),
        max_piece_length=16,
        shrinking_factor=0.75,
        n_sub_iterations=2,
        show_progress=sys.stderr.isatty(),
    )
    tokenizer.train_from_iterator(corpus(texts), trainer)
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"] = [*settled(state["model"]["vocab"]), ["<mask>", 0.0]]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def report(tokenizer: Tokenizer) -> None:
    """Print trials, the words that must be known, and per locale the share of <unk> and pieces per name."""
    ids = {token: tokenizer.token_to_id(token) for token in [*SPECIAL, "<mask>"]}
    print(f"{tokenizer.get_vocab_size()} pieces; {ids}")
    for text in TRY:
        print(f"  {text}: {' '.join(tokenizer.encode(text).tokens)}")
    unknown = [word for word in MUST.split() if 3 in tokenizer.encode(word).ids]
    print("must be known, but are not:", unknown or "none")
    rows: dict[str, list[str]] = defaultdict(list)
    for row in read_jsonl(TEXTS):
        if row["kind"] == "name":
            rows[row["locale"]].append(row["text"])
    seen_scripts: set[str] = set()
    for locale, names in sorted(rows.items()):
        encoded = tokenizer.encode_batch(names, add_special_tokens=False)
        pieces = [piece for e in encoded for piece in e.ids]
        share, mean = pieces.count(3) / len(pieces), len(pieces) / len(names)
        line = f"  {locale:10} {share:7.3%} <unk> {mean:5.1f} pieces per name"
        kind = script(" ".join(names[:50]))
        if kind not in seen_scripts and len(names) > 500:
            seen_scripts.add(kind)
            line += f"   {kind}: {' '.join(encoded[len(names) // 2].tokens)}"
        print(line)


def main() -> None:
    """Train, save, report."""
    tokenizer = train()
    tokenizer.save(str(TOKENIZER), pretty=False)
    report(tokenizer)


if __name__ == "__main__":
    main()
