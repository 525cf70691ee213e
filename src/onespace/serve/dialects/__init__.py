"""Wire formats: one module each, from a request's body to items, and from embeddings to a reply."""
