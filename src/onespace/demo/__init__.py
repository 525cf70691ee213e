"""The demonstration: texts, pictures and pairs of both, compared in one space by the shipped model."""
