"""Drop-ins: classes with the names, arguments and numbers of other packages. A script changes its import, no more.

    visual_bge       Visualized_BGE     of visual_bge.modeling
    flag_embedding   BGEM3FlagModel     of FlagEmbedding

They repeat the originals' numbers, also where our own default differs: pictures are cropped as there, and the names of
special tokens in a text become these tokens. They don't repeat the originals' faults.
"""
