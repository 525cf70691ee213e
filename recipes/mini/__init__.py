"""The recipe of onespace-mini: fetch -> texts -> tokenizer -> render -> (model, training)."""
