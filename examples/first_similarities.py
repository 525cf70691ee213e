"""How near a text, two pictures, and each picture together with the text are to one another.

    python examples/first_similarities.py --weights Visualized_base_en_v1.5.pth

In a script written for the original package only the import below is another.
"""

import argparse

import torch

from onespace.compat.visual_bge import Visualized_BGE  # was: from visual_bge.modeling import Visualized_BGE
from onespace.demo.experiment import PICTURES

parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
parser.add_argument("--bge", default="BAAI/bge-base-en-v1.5", help="folder or hub name of the text model")
parser.add_argument("--weights", required=True, help="Visualized_base_en_v1.5.pth, or Visualized_m3.pth")
parser.add_argument("--text", default="the logo of the Whalespace open source community")
parser.add_argument("--images", nargs=2, default=[str(PICTURES / "logo.png"), str(PICTURES / "dragon.png")])
args = parser.parse_args()

model = Visualized_BGE(model_name_bge=args.bge, model_weight=args.weights)
model.eval()
first, second = args.images
with torch.no_grad():
    vectors = {
        "text": model.encode(text=args.text),
        "image 1": model.encode(image=first),
        "image 2": model.encode(image=second),
        "image 1 + text": model.encode(image=first, text=args.text),
        "image 2 + text": model.encode(image=second, text=args.text),
    }

print(f"each vector has {vectors['text'].shape[1]} numbers\n")
for one, a in vectors.items():
    print(f"{one:>14}", *(f"{(a @ b.T).item():7.4f}" for b in vectors.values()))
