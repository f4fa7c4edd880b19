#!/usr/bin/env python3
"""Do our networks compute what timm's, torchvision's and ONNX Runtime's do, from the same weights?

    networks.py [--peer target/release/examples/peer] [--shared ../shared] [--only NAME]
                [--seed SEED] [--draws COUNT]

Every network gets random weights and running statistics of random images, is written as
safetensors, and read by `peer` (an example program of dermflow-nn). Compared are its logits (with
running and with batch statistics, and how those move the running ones), the weights that it writes
back, and the ONNX files that it makes, run by ONNX Runtime; at even and odd image sizes, with both
paddings. The regressor stands beside a PyTorch module of the same layers. Truth is PyTorch in
float64; beside each difference stands PyTorch's own in float32, the farther off of its settings
(channels first and last, with oneDNN and without). A difference is the largest one, as a share of
the largest number; of several draws, their geometric mean. Prints a Markdown table, and fails where
ours is above 1e-4 and above twice PyTorch's own: a deep network of random weights may make so much
of its rounding that nobody comes to within 1e-4.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from functools import partial
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
    """Name, our request, and what draws their network."""

    def small(name, flavour):
        return {"network": {"name": name, "flavour": flavour, "width": 0.25, "depth": 0.3}, "classes": 7}

    def full(name, flavour):
        return {"network": {"name": name, "flavour": flavour}, "classes": 1000}

    same = {"bn_eps": 1e-3, "pad_type": "same"}
    for ours, flavour, generator, theirs, more in [
        ("efficientnet-b0", "timm", "efficientnet", "efficientnet_b0", {}),
        ("efficientnet-b0", "tensorflow", "efficientnet", "tf_efficientnet_b0", same),
        ("efficientnetv2-b0", "tensorflow", "efficientnetv2_base", "tf_efficientnetv2_b0", same),
        ("efficientnetv2-s", "timm", "efficientnetv2_s", "efficientnetv2_s", {}),
        ("efficientnet-lite0", "tensorflow", "efficientnet_lite", "tf_efficientnet_lite0", same),
    ]:
        short = ours.replace("efficientnet-", "").replace("efficientnetv2", "v2")
        yield f"small {short}, {flavour}", small(ours, flavour), partial(narrow, generator, theirs, **more)
    for ours, flavour, theirs in [
        ("efficientnet-b0", "timm", "efficientnet_b0"),
        ("efficientnet-b3", "tensorflow", "tf_efficientnet_b3"),
        ("efficientnetv2-b0", "tensorflow", "tf_efficientnetv2_b0"),
        ("efficientnetv2-b3", "tensorflow", "tf_efficientnetv2_b3"),
        ("efficientnet-lite4", "tensorflow", "tf_efficientnet_lite4"),
    ]:
        yield f"timm {theirs}", full(ours, flavour), partial(timm.create_model, theirs)
    yield "small regressor", dict(Regressor.request), Regressor
    for ours, theirs in [("efficientnet-b5", "efficientnet_b5"), ("efficientnetv2-s", "efficientnet_v2_s")]:
        yield f"torchvision {theirs}", full(ours, "torchvision"), partial(torchvision.models.get_model, theirs)


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


def in_float32(model, images):
    """What copies of the model tell in PyTorch's settings, and their state afterwards."""
    for layout in (torch.contiguous_format, torch.channels_last):
        for onednn in (True, False):
            own = copy.deepcopy(model).to(memory_format=layout)
            with torch.no_grad(), torch.backends.mkldnn.flags(enabled=onednn):
                found = own(images.contiguous(memory_format=layout)).numpy().flatten()
            yield found, own.state_dict()


def typical(differences):
    """Their geometric mean, or zero where all are."""
    return float(np.exp(np.mean(np.log(differences)))) if min(differences) > 0.0 else max(differences)


class Bench:
    def __init__(self, peer, folder):
        self.peer, self.folder, self.failed, self.rows = peer, Path(folder), [], {}

    def ask(self, request):
        done = subprocess.run([self.peer, json.dumps(request)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{request}\n{done.stderr}")

    def row(self, name, what, ours, theirs=0.0):
        self.rows.setdefault((name, what), []).append((ours, theirs))

    def print_rows(self):
        """The rows since the last time, and judges them."""
        for (name, what), draws in self.rows.items():
            ours, theirs = (typical(of) for of in zip(*draws))
            if ours > max(LIMIT, 2 * theirs):
                self.failed.append(f"{name}, {what}")
            print(f"| {name} | {what} | {ours:.1e} | {theirs:.1e} |", flush=True)
        self.rows = {}

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
                theirs = copy.deepcopy(model).train(train)
                for module in theirs.modules():
                    if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
                        module.p = 0.0
                wide = copy.deepcopy(theirs).double()
                with torch.no_grad():
                    truth = wide(images.double()).numpy().flatten()
                own = list(in_float32(theirs, images))
                found = np.fromfile(paths["out"], np.float32)
                if isinstance(model, Regressor):
                    found = channels_first(found, size)
                worst = farthest(worst, found, [found for found, _ in own], truth)
                for key, value in wide.state_dict().items():
                    if "running" in key:
                        beside = [state[key].numpy() for _, state in own]
                        moved = farthest(moved, state[key].numpy(), beside, value.numpy())
            self.row(name, "batch statistics" if train else "running statistics", *worst)
            if train:
                self.row(name, "running statistics moved", *moved)

    def onnx(self, name, request, model):
        path = str(self.folder / "network.onnx")
        worst = [0.0, 0.0]
        for size in SIZES:
            images = torch.randn(2, 3, *size)
            with torch.no_grad():
                truth = copy.deepcopy(model).double()(images.double()).numpy().flatten()
            own = [found for found, _ in in_float32(model, images)]
            names = ["heat", "size"] if isinstance(model, Regressor) else ["logits"]
            for fold in (True, False):
                for fixed in (None, list(size)):
                    options = {"fold-norms": fold} | ({"size": fixed} if fixed else {})
                    self.ask(request | {"onnx": {"path": path, "options": options}})
                    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                    found = session.run(names, {"image": images.numpy()})
                    found = np.concatenate([output.flatten() for output in found])
                    worst = farthest(worst, found, own, truth)
        self.row(name, "ONNX Runtime", *worst)


def farthest(worst, found, own, truth):
    """The largest differences so far: ours, and PyTorch's in the setting that is farthest off."""
    theirs = max(difference(one, truth) for one in own)
    return [max(worst[0], difference(found, truth)), max(worst[1], theirs)]


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
    bench.print_rows()
    if found.argmax() != 985:
        bench.failed.append("the daisy")


def compare(bench, name, request, model):
    weights = str(bench.folder / "weights.safetensors")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    request = request | {"weights": weights}
    bench.same_weights(name, request, model)
    bench.outputs(name, request, model)
    bench.onnx(name, request, model)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--peer", default=here / "target/release/examples/peer")
    parser.add_argument("--shared", default=here / "../shared", type=Path)
    parser.add_argument("--only", default="", help="part of a network's name")
    parser.add_argument("--seed", default=0, type=int, help="of the first draw of weights")
    parser.add_argument("--draws", default=1, type=int, help="of weights and images, for each network")
    options = parser.parse_args()
    print(f"timm {timm.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}, "
          f"onnxruntime {onnxruntime.__version__}\n")
    print("| network | what | ours | PyTorch's float32 |\n|---|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.peer, folder)
        for name, request, make in cases():
            if options.only not in name:
                continue
            for seed in range(options.seed, options.seed + options.draws):
                torch.manual_seed(seed)
                model = make().eval()
                settle(model)
                torch.manual_seed(seed)
                compare(bench, name, request, model)
            bench.print_rows()
        if not options.only:
            real(bench, options.shared)
    if bench.failed:
        sys.exit("too far off: " + "; ".join(bench.failed))


if __name__ == "__main__":
    main()
