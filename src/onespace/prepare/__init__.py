"""From items to what a tower eats: texts become token ids, pictures become pixels.

items     any item -> NormalItem, or an error that names it
sources   a path, a data URI or an https address -> bytes, within a byte budget
images    bytes or an array -> a picture, within a pixel budget
colour    a picture of any mode -> RGB, 8 bits a channel
pixels    a picture -> (3, S, S) float32 and a receipt; boxes of the patches
tokens    a text -> token ids and a receipt
vocabularies, sentencepiece   tokenizer files of other formats -> a tokenizer.json
"""
