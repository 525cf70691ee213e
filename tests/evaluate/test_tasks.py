from __future__ import annotations

import pytest

from onespace.errors import InputError
from onespace.evaluate.tasks import Classification, Retrieval, Sts


def test_only_numbers_things_anew() -> None:
    task = Retrieval(
        "t", list("abcd"), ["a", "b", "c"], [{0: 1.0, 3: 2.0}, {1: 1.0}, {3: 1.0}],
        languages=["en", "zh", "en"], groups=[5, 6, 5], left_out=[-1, 3, 0], names=(list("ABCD"), list("xyz")),
    )  # fmt: skip
    small = task.only([1, 3], [0, 1])
    assert (list(small.documents), list(small.queries)) == (["b", "d"], ["a", "b"])
    assert list(small.answers) == [{1: 2.0}, {0: 1.0}]
    assert (small.languages, small.groups, small.left_out) == (["en", "zh"], [5, 6], [-1, 1])
    assert small.names == (["B", "D"], ["x", "y"])
    with pytest.raises(InputError, match=r"query 0 has the answers \{\}"):
        task.only([1], [0])


@pytest.mark.parametrize(
    ("answers", "words"),
    [([], "1 queries with 0 answers"), ([{}], "query 0 has the answers {}"), ([{2: 1.0}], "{2: 1.0} among 2"),
     ([{0: 0.0}], "above 0")],
)  # fmt: skip
def test_a_query_needs_an_answer(answers: list[dict[int, float]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Retrieval("t", ["a", "b"], ["q"], answers)
    with pytest.raises(InputError, match="2 languages"):
        Retrieval("t", ["a", "b"], ["q"], [{0: 1.0}], languages=["en", "zh"])


def test_sts_and_classes_are_checked() -> None:
    with pytest.raises(InputError, match="at least 3 pairs"):
        Sts("t", ["a"], ["b"], [1.0])
    with pytest.raises(InputError, match="3 and 2 items"):
        Sts("t", ["a"] * 3, ["b"] * 2, [1.0] * 3)
    plain = {"": ["{}"]}
    with pytest.raises(InputError, match="two or more"):
        Classification("t", ["a"], [0], {"": ["x"]}, plain)
    with pytest.raises(InputError, match="outside the 2 classes"):
        Classification("t", ["a"], [2], {"": ["x", "y"]}, plain)
    with pytest.raises(InputError, match=r"'a photo' for any language has no \{\}"):
        Classification("t", ["a"], [1], {"": ["x", "y"]}, {"": ["a photo"]})
    with pytest.raises(InputError, match="names of all classes"):
        Classification("t", ["a"], [1], {"en": ["x", "y"], "zh": ["x"]}, plain)
