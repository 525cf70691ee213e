"""Which model fits a user's own files, on this machine."""

from onespace.choose.candidates import Candidate, installed
from onespace.choose.choice import Choice, Limits, Option
from onespace.choose.run import choose
from onespace.choose.weak import Weak, weak_queries

__all__ = ["Candidate", "Choice", "Limits", "Option", "Weak", "choose", "installed", "weak_queries"]
