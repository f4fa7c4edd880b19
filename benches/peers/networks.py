#!/usr/bin/env python3
"""Do our networks compute what timm's, torchvision's and ONNX Runtime's do, from the same weights?

    networks.py [--peer target/release/examples/peer] [--shared ../shared] [--only NAME]

Every network gets random weights and running statistics of random images, is written as
safetensors, and read by `peer` (an example program of dermflow-nn). Compared are its logits (with
running and with batch statistics, and how those move the running ones), the weights that it writes
back, and the ONNX files that it makes, run by ONNX Runtime; at even and odd image sizes, with both
paddings. The regressor stands beside a PyTorch module of the same layers. Truth is PyTorch in
float64; beside each difference stands PyTorch's own in float32. A difference is the largest one,
as a share of the largest number. Prints a Markdown table and fails above 1e-4, where PyTorch's own
float32 is not as far off.
"""

import argparse
import copy
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
    yield "small regressor", dict(Regressor.request), Regressor().eval()
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


class Step(torch.nn.Module):
    """One step of the regressor's neck."""

    def __init__(self, inputs, outputs, joined, learned, epsilon):
        super().__init__()
        self.learned = learned
        if learned:
            self.upsample = torch.nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
        else:
            self.upsample = torch.nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.upsample.norm = torch.nn.BatchNorm2d(outputs, epsilon)
        self.lateral = torch.nn.Conv2d(joined, outputs, 1, bias=False)
        self.lateral.norm = torch.nn.BatchNorm2d(outputs, epsilon)

    def forward(self, features, join):
        rows, columns = join.shape[2:]
        if self.learned:
            features = self.upsample(features)[:, :, :rows, :columns]
        else:
            features = torch.nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
            features = self.upsample(features[:, :, :rows, :columns])
        own = torch.nn.functional.silu(self.upsample.norm(features))
        return own + self.lateral.norm(self.lateral(join))


class Head(torch.nn.Module):
    """3x3, activation, 1x1."""

    def __init__(self, inputs, inside, outputs):
        super().__init__()
        self.hidden = torch.nn.Conv2d(inputs, inside, 3, 1, 1)
        self.output = torch.nn.Conv2d(inside, outputs, 1)

    def forward(self, features):
        return self.output(torch.nn.functional.silu(self.hidden(features)))


class Regressor(torch.nn.Module):
    """A narrow EfficientNetV2-B0 with a neck of three steps; `request` is the same for us."""

    request = {
        "network": {"name": "efficientnetv2-b0", "flavour": "tensorflow", "width": 0.25, "depth": 0.3},
        "classes": 3,
        "regressor": {
            "classes": 3, "head-channels": 8,
            "neck": [{"channels": 24, "lateral": True, "upsampling": upsampling}
                     for upsampling in ("learned", "bilinear", "learned")]},
    }

    def __init__(self):
        super().__init__()
        whole = narrow("efficientnetv2_base", "tf_efficientnetv2_b0", bn_eps=1e-3, pad_type="same")
        self.conv_stem, self.bn1, self.blocks = whole.conv_stem, whole.bn1, whole.blocks
        with torch.no_grad():
            widths = {x.shape[2]: x.shape[1] for x in self.pyramid(torch.zeros(1, 3, 64, 64))}
        channels, steps = widths[2], []
        for side, learned in ((4, True), (8, False), (16, True)):
            steps.append(Step(channels, 24, widths[side], learned, 1e-3))
            channels = 24
        self.neck = torch.nn.ModuleList(steps)
        self.heat, self.size = Head(24, 8, 3), Head(24, 8, 2)

    def pyramid(self, images):
        features, outs = self.bn1(self.conv_stem(images)), []
        for stage in self.blocks:
            features = stage(features)
            outs.append(features)
        return outs

    def forward(self, images):
        outs = self.pyramid(images)
        by_grid = {tuple(out.shape[2:]): out for out in outs}
        grids = list(by_grid)
        features = outs[-1]
        for step, grid in zip(self.neck, reversed(grids[:-1])):
            features = step(features, by_grid[grid])
        return torch.cat([self.heat(features).flatten(), self.size(features).flatten()])


def difference(found, truth):
    return float(np.abs(found - truth).max() / np.abs(truth).max())


class Bench:
    def __init__(self, peer, folder):
        self.peer, self.folder, self.failed = peer, Path(folder), []

    def ask(self, request):
        done = subprocess.run([self.peer, json.dumps(request)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{request}\n{done.stderr}")

    def row(self, name, what, ours, theirs=0.0):
        if ours > max(LIMIT, 2 * theirs):
            self.failed.append(f"{name}, {what}")
        print(f"| {name} | {what} | {ours:.1e} | {theirs:.1e} |", flush=True)

    def written(self, request, library):
        path = self.folder / f"{library}.safetensors"
        self.ask(request | {library: str(path)})
        return load_file(path)

    def same_weights(self, name, request, model):
        """What we write back is what we read."""
        theirs = {key: value for key, value in model.state_dict().items() if "num_batches" not in key}
        library = "torchvision" if "features.0.0.weight" in theirs else "timm"
        ours = self.written(request, library)
        equal = all(torch.equal(ours.pop(key), value) for key, value in theirs.items())
        left = [key for key in ours if "num_batches" not in key]
        self.row(name, "weights written back", 0.0 if equal and not left else 1.0)

    def outputs(self, name, request, model):
        """Logits or maps, with running and with batch statistics."""
        library = "torchvision" if "features.0.0.weight" in model.state_dict() else "timm"
        paths = {"images": str(self.folder / "images"), "out": str(self.folder / "out")}
        for train in (False, True):
            worst, moved = [0.0, 0.0], [0.0, 0.0]
            for size in SIZES:
                images = torch.randn(3, 3, *size)
                images.permute(0, 2, 3, 1).contiguous().numpy().tofile(paths["images"])
                run = {"run": paths | {"shape": [3, *size], "train": train}}
                state = self.written(request | run, library)
                narrow_model, wide = copy.deepcopy(model).train(train), copy.deepcopy(model).double().train(train)
                for module in [*narrow_model.modules(), *wide.modules()]:
                    if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
                        module.p = 0.0
                with torch.no_grad():
                    own = narrow_model(images).numpy().flatten()
                    truth = wide(images.double()).numpy().flatten()
                found = np.fromfile(paths["out"], np.float32)
                if isinstance(model, Regressor):
                    found = channels_first(found, size)
                worst = [max(a, difference(b, truth)) for a, b in zip(worst, (found, own))]
                for key, value in wide.state_dict().items():
                    if "running" in key:
                        pair = (state[key].numpy(), narrow_model.state_dict()[key].numpy())
                        moved = [max(a, difference(b, value.numpy())) for a, b in zip(moved, pair)]
            self.row(name, "batch statistics" if train else "running statistics", *worst)
            if train:
                self.row(name, "running statistics moved", *moved)

    def onnx(self, name, request, model):
        path = str(self.folder / "network.onnx")
        worst = [0.0, 0.0]
        for size in SIZES:
            images = torch.randn(2, 3, *size)
            with torch.no_grad():
                own = model(images).numpy().flatten()
                truth = copy.deepcopy(model).double()(images.double()).numpy().flatten()
            names = ["heat", "size"] if isinstance(model, Regressor) else ["logits"]
            for fold in (True, False):
                for fixed in (None, list(size)):
                    options = {"fold-norms": fold} | ({"size": fixed} if fixed else {})
                    self.ask(request | {"onnx": {"path": path, "options": options}})
                    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                    found = session.run(names, {"image": images.numpy()})
                    found = np.concatenate([output.flatten() for output in found])
                    worst = [max(a, difference(b, truth)) for a, b in zip(worst, (found, own))]
        self.row(name, "ONNX Runtime", *worst)


def channels_first(found, size):
    """Our maps in PyTorch's order."""
    rows, columns = (-(-side // 4) for side in size)
    heat, maps = found[: 3 * rows * columns * 3], found[3 * rows * columns * 3:]
    turned = [part.reshape(3, rows, columns, -1).transpose(0, 3, 1, 2).flatten() for part in (heat, maps)]
    return np.concatenate(turned)


def real(bench, shared):
    """A checkpoint of ImageNet, and what it sees in a photo of a flower."""
    path = shared / "weights/tf_efficientnet_lite0.imagenet.safetensors"
    if not path.exists():
        return print(f"\nskipped: no {path.name}")
    from sklearn.datasets import load_sample_image
    from PIL import Image

    model = timm.create_model("tf_efficientnet_lite0").eval()
    state = load_file(path)
    model.load_state_dict({key: state.get(key, value) for key, value in model.state_dict().items()})
    picture = Image.fromarray(load_sample_image("flower.jpg")).resize((224, 224), Image.BICUBIC)
    images = torch.tensor(np.asarray(picture) / 127.5 - 1.0, dtype=torch.float32)[None]
    images.numpy().tofile(bench.folder / "images")
    run = {"images": str(bench.folder / "images"), "out": str(bench.folder / "out"),
           "shape": [1, 224, 224], "train": False}
    request = {"network": {"name": "efficientnet-lite0", "flavour": "tensorflow"}, "classes": 1000,
               "weights": str(path), "run": run}
    bench.ask(request)
    found = np.fromfile(bench.folder / "out", np.float32)
    with torch.no_grad():
        own = model(images.permute(0, 3, 1, 2)).numpy().flatten()
        truth = model.double()(images.permute(0, 3, 1, 2).double()).numpy().flatten()
    name = "ImageNet's lite0, flower.jpg"
    bench.row(name, f"logits; ours sees class {found.argmax()}, timm's {truth.argmax()}",
              difference(found, truth), difference(own, truth))
    if found.argmax() != 985:
        bench.failed.append("the daisy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--peer", default=here / "target/release/examples/peer")
    parser.add_argument("--shared", default=here / "../shared", type=Path)
    parser.add_argument("--only", default="", help="part of a network's name")
    options = parser.parse_args()
    print(f"timm {timm.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}, "
          f"onnxruntime {onnxruntime.__version__}\n")
    print("| network | what | ours | PyTorch's float32 |\n|---|---|--:|--:|")
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
            bench.outputs(name, request, model)
            bench.onnx(name, request, model)
        if not options.only:
            real(bench, options.shared)
    if bench.failed:
        sys.exit("too far off: " + "; ".join(bench.failed))


if __name__ == "__main__":
    main()
