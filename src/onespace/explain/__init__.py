"""Why a document got its score: parts that add up to it, and views of them."""

from onespace.explain.explanation import Explanation, Part, explain, leave_one_out, name_tokens

__all__ = ["Explanation", "Part", "explain", "leave_one_out", "name_tokens"]
