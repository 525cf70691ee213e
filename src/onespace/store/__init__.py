"""A durable store of items: `Store`, and what it takes and returns.

log         one SQLite file with everything; acknowledged means there    blobs, references   what it holds
engine      what a vector engine must do     edge, qdrant, milvus        those there are
keeper      keeps an engine in step with the log                         rebuild             its other process
search      candidates from the engine, exact scores from the log        filters             over metadata
passport    whose vectors these are          lock                        one writer          places  addresses
migrate     to another model, while it serves on                         switch              the end of that
"""

from onespace.store.log import Stored
from onespace.store.references import Picture, Reference
from onespace.store.search import Found, SearchOptions
from onespace.store.store import Store, StoreOptions

__all__ = ["Found", "Picture", "Reference", "SearchOptions", "Store", "StoreOptions", "Stored"]
