"""Contrastive training of any model that runs in torch. Needs the ``[torch]`` extra.

    rows -> Loader -> chunks -> vectors -> scores -> loss -> gradients, in chunks again -> weights

`onespace.train.run.fit` is a whole run, from data to a saved model; `options`, `rows` and `data` say what it takes;
`sides`, `objective` and `learner` are one step; `stages`, `lora` and `ranks` say which weights learn, and where; `loop`
is the resumable loop.
"""
