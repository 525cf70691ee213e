"""Keeps a store in step with files: new and changed ones are encoded, those that went are taken out.

walk        which files there are             readers (pages, rows, pictures)    a file -> its documents
manifest    which of them the store has       plan                               what there is to do
encoding    documents -> vectors              indexer, watch                     all of it, once or for ever
"""

from onespace.index.indexer import Indexer, Report
from onespace.index.plan import IndexOptions, Plan
from onespace.index.rows import Columns
from onespace.index.walk import Selection

__all__ = ["Columns", "IndexOptions", "Indexer", "Plan", "Report", "Selection"]
