#!/usr/bin/env python3
"""Do our networks compute what timm's, torchvision's and ONNX Runtime's do, from the same weights?

    networks.py [--peer target/release/examples/peer] [--shared ../shared] [--only NAME]

Every network gets random weights and running statistics of random images, is written as
safetensors, and read by `peer` (an example program of dermflow-nn). Compared are its logits (with
running and with batch statistics), the weights that it writes back, and the ONNX files that it
makes, run by ONNX Runtime; at even and odd image sizes, with both paddings. A difference is the
largest one, as a share of the largest logit. Prints a Markdown table and fails above 1e-4.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.models import efficientnet as family

LIMIT = 1e-4
SIZES = [(64, 64), (97, 80)]


def narrow(generator, name, **more):
    """A quarter of the width, a third of the depth, seven classes."""
    make = getattr(family, f"_gen_{generator}")
    return make(name, channel_multiplier=0.25, depth_multiplier=0.3, num_classes=7, **more).eval()


def cases():
    """Name, our request, their network."""

    def small(name, flavour):
        return {"network": {"name": name, "flavour": flavour, "width": 0.25, "depth": 0.3}, "classes": 7}

    def full(name, flavour):
        return {"network": {"name": name, "flavour": flavour}, "classes": 1000}

    same = {"bn_eps": 1e-3, "pad_type": "same"}
    yield "small b0, timm", small("efficientnet-b0", "timm"), narrow("efficientnet", "efficientnet_b0")
    yield "small b0, tensorflow", small("efficientnet-b0", "tensorflow"), narrow(
        "efficientnet", "tf_efficientnet_b0", **same)
    yield "small v2-b0, tensorflow", small("efficientnetv2-b0", "tensorflow"), narrow(
        "efficientnetv2_base", "tf_efficientnetv2_b0", **same)
    yield "small v2-s, timm", small("efficientnetv2-s", "timm"), narrow("efficientnetv2_s", "efficientnetv2_s")
    yield "small lite0, tensorflow", small("efficientnet-lite0", "tensorflow"), narrow(
        "efficientnet_lite", "tf_efficientnet_lite0", **same)
    for ours, flavour, theirs in [
        ("efficientnet-b0", "timm", "efficientnet_b0"),
        ("efficientnet-b3", "tensorflow", "tf_efficientnet_b3"),
        ("efficientnetv2-b0", "tensorflow", "tf_efficientnetv2_b0"),
        ("efficientnetv2-b3", "tensorflow", "tf_efficientnetv2_b3"),
        ("efficientnet-lite4", "tensorflow", "tf_efficientnet_lite4"),
    ]:
        yield f"timm {theirs}", full(ours, flavour), timm.create_model(theirs).eval()
    for ours, theirs in [("efficientnet-b5", "efficientnet_b5"), ("efficientnetv2-s", "efficientnet_v2_s")]:
        model = torchvision.models.get_model(theirs).eval()
        yield f"torchvision {theirs}", full(ours, "torchvision"), model


def settle(model):
    """Running statistics of random images, and norms that are not neutral."""
    torch.manual_seed(20)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for size in (96, 64):
            model(torch.randn(4, 3, size, size))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.eval()


def difference(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


class Bench:
    def __init__(self, peer, folder):
        self.peer, self.folder, self.rows, self.worst = peer, Path(folder), [], 0.0

    def ask(self, request):
        done = subprocess.run([self.peer, json.dumps(request)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{request}\n{done.stderr}")
        return done.stdout

    def row(self, name, what, value):
        self.worst = max(self.worst, value)
        print(f"| {name} | {what} | {value:.1e} |", flush=True)

    def same_weights(self, name, request, model):
        """What we write back is what we read."""
        for library in ("timm", "torchvision"):
            self.ask(request | {library: str(self.folder / f"{library}.safetensors")})
        theirs = {key: value for key, value in model.state_dict().items() if "num_batches" not in key}
        library = "timm" if "conv_stem.weight" in theirs else "torchvision"
        ours = load_file(self.folder / f"{library}.safetensors")
        equal = all(torch.equal(ours.pop(key), value) for key, value in theirs.items())
        left = [key for key in ours if "num_batches" not in key]
        self.row(name, "weights written back", 0.0 if equal and not left else 1.0)

    def onnx(self, name, request, outputs):
        """`outputs(images)` gives what each output of the file should be."""
        path = str(self.folder / "network.onnx")
        worst = 0.0
        for size in SIZES:
            images = torch.randn(2, 3, *size)
            with torch.no_grad():
                expected = {key: value.numpy() for key, value in outputs(images).items()}
            for fold in (True, False):
                for fixed in (None, list(size)):
                    options = {"fold-norms": fold} | ({"size": fixed} if fixed else {})
                    self.ask(request | {"onnx": {"path": path, "options": options}})
                    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                    found = session.run(list(expected), {"image": images.numpy()})
                    for ours, theirs in zip(found, expected.values()):
                        worst = max(worst, difference(ours, theirs))
        self.row(name, "ONNX Runtime", worst)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--peer", default=here / "target/release/examples/peer")
    parser.add_argument("--shared", default=here / "../shared", type=Path)
    parser.add_argument("--only", default="", help="part of a network's name")
    options = parser.parse_args()
    print(f"timm {timm.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}, "
          f"onnxruntime {onnxruntime.__version__}\n")
    print("| network | what | difference |\n|---|---|--:|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.peer, folder)
        for name, request, model in cases():
            if options.only not in name:
                continue
            settle(model)
            weights = str(bench.folder / "weights.safetensors")
            save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
            request["weights"] = weights
            bench.same_weights(name, request, model)
            bench.onnx(name, request, lambda images: {"logits": model(images)})
    if bench.worst > LIMIT:
        sys.exit(f"a difference of {bench.worst:.1e} is more than {LIMIT:.0e}")


if __name__ == "__main__":
    main()
