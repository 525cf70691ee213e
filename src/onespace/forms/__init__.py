"""Smaller forms of vectors: cut, coded in fewer bits, pooled; and a plan that fits them to a budget."""

from onespace.forms.compact import Compact, Form, apply

__all__ = ["Compact", "Form", "apply"]
