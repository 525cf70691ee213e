"""The server: one model, and one store if wanted, behind HTTP. Start it with ``onespace serve``."""
