"""How good a model is on known answers: retrieval, zero-shot classification, textual similarity, with intervals."""

from onespace.evaluate.intervals import Interval
from onespace.evaluate.measure import Report, Result, evaluate
from onespace.evaluate.readers import read_tasks
from onespace.evaluate.tasks import Classification, Retrieval, Sts, Task

__all__ = ["Classification", "Interval", "Report", "Result", "Retrieval", "Sts", "Task", "evaluate", "read_tasks"]
