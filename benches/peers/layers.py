"""Single layers beside PyTorch, in turns, and how far each is from what the machine can do.

Needs PyTorch for the other side, and our example program:

    cargo build --release -p dermflow-nn --example layer_speed
    ../peers/bin/python benches/peers/layers.py --threads 2        # idle machine: seconds of the clock
    ../peers/bin/python benches/peers/layers.py --threads 1        # processor seconds, for a busy one

A layer is a convolution with its batch norm and SiLU; inference has the norm in the weights on our
side, and PyTorch runs its own in evaluation mode. A training step is forward with the batch's
statistics, and backward to the weights and the input (the stem's input needs none). PyTorch runs
channels-last and in its default layout; `times` compares with the faster. All take short turns
(turns.py): seconds are the median of the turns' fastest rounds, ratios the median of the turns' ratios.

`of the ceiling`: for layers that multiply, multiply-adds a second as a share of those of a product of
square matrices of 1024 in the same turns, on the same side; for depthwise convolutions and norms, bytes
that have to be read and written once a second, as a share of a plain copy's. Above 1 means that fewer
multiplications are made (Winograd), or that the layer's numbers stay in a cache.
"""

import argparse
import sys

import turns

# What, kind, kernel, stride, inputs, outputs, size, batch, why it is as far from the ceiling.
ROWS = [
    ("stem 3x3, stride 2", "stem", 3, 2, 3, 32, 128, 32, "27 products a number, as many stores as a wide layer"),
    ("1x1, narrow to wide", "dense", 1, 1, 48, 192, 16, 32, "a short depth; training: norm and SiLU of four times what is read"),
    ("1x1, wide to narrow", "dense", 1, 1, 672, 112, 8, 32, "a plain product"),
    ("1x1, small grid", "dense", 1, 1, 192, 1152, 4, 32, "221,000 weights for 512 places, laid out anew in training"),
    ("head, 1x1", "dense", 1, 1, 192, 1280, 4, 32, "as above"),
    ("3x3, 32 to 128", "dense", 3, 1, 32, 128, 32, 32, "by Winograd: 36 products in the place of 144, both ways"),
    ("3x3, 48 to 192", "dense", 3, 1, 48, 192, 16, 32, "as above"),
    ("3x3, 64 to 64", "dense", 3, 1, 64, 64, 32, 16, "as above"),
    ("3x3, stride 2", "dense", 3, 2, 32, 128, 32, 32, "plain products, SiLU"),
    ("depthwise 3x3", "depthwise", 3, 1, 192, 192, 16, 32, "SiLU takes longer than the window"),
    ("depthwise 3x3, stride 2", "depthwise", 3, 2, 192, 192, 16, 32, "reads a bordered copy"),
    ("depthwise 5x5", "depthwise", 5, 1, 240, 240, 28, 16, "25 products a number, not bound by memory"),
    ("depthwise 5x5, stride 2", "depthwise", 5, 2, 144, 144, 56, 16, "as above"),
    ("depthwise 3x3, squeeze-and-excite, 1x1", "squeeze", 3, 1, 384, 96, 8, 32, "gates wait for a mean over all places"),
    ("norm and SiLU", "norm", 3, 1, 192, 192, 16, 32, "SiLU, 24 operations a number"),
]
LAYOUTS = ("channels-last", "default")
SQUARE = ("product of 1024", "relu", 1, 1, 1024, 1024, 16, 4)


def work(kind, kernel, stride, inputs, outputs, size, batch):
    """Multiply-adds of dense layers, or bytes of the others, forward."""
    small = -(-size // stride)
    places = batch * small * small
    if kind in ("dense", "relu", "stem"):
        return "multiply-adds", places * kernel * kernel * (3 if kind == "stem" else inputs) * outputs
    if kind == "squeeze":
        narrow = inputs // 4
        return "multiply-adds", places * inputs * (9 + outputs) + 2 * batch * inputs * narrow
    return "bytes", 4 * (batch * size * size * inputs + places * outputs)


def build(kind, kernel, stride, inputs, outputs):
    import torch
    from torch import nn

    def convolution(inputs, outputs, groups=1):
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(convolution(inputs, inputs, inputs), nn.BatchNorm2d(inputs), nn.SiLU())
            self.down, self.up = nn.Conv2d(inputs, inputs // 4, 1), nn.Conv2d(inputs // 4, inputs, 1)
            self.last = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, images):
            values = self.first(images)
            gate = nn.functional.silu(self.down(values.mean((2, 3), keepdim=True)))
            return self.last(values * torch.sigmoid(self.up(gate)))

    if kind == "norm":
        return nn.Sequential(nn.BatchNorm2d(inputs), nn.SiLU())
    if kind == "squeeze":
        return Squeeze()
    if kind == "depthwise":
        return nn.Sequential(convolution(inputs, inputs, inputs), nn.BatchNorm2d(inputs), nn.SiLU())
    inputs = 3 if kind == "stem" else inputs
    return nn.Sequential(convolution(inputs, outputs), nn.BatchNorm2d(outputs), nn.SiLU())


def measure_peer(kind, kernel, stride, inputs, outputs, size, batch, what, threads, layout):
    """Runs in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if kind == "relu":
        left, right = torch.rand(1024, 1024), torch.rand(1024, 1024)

        def step():
            torch.mm(left, right)
    else:
        model = build(kind, kernel, stride, inputs, outputs)
        images = torch.rand(batch, 3 if kind == "stem" else inputs, size, size)
        if layout == "channels-last":
            model, images = [each.to(memory_format=torch.channels_last) for each in (model, images)]
        model.train(what == "train")
        images.requires_grad_(what == "train" and kind != "stem")
        with torch.no_grad():
            upstream = torch.rand_like(model(images))

        def step():
            if what == "train":
                model.zero_grad(set_to_none=True)
                images.grad = None
                model(images).backward(upstream)
            else:
                with torch.inference_mode():
                    model(images)

    turns.answer(step)


def ceilings(program, threads):
    """Products of squares: what the machine can multiply and add, on each side."""
    square = [*map(str, SQUARE[1:]), "infer", str(threads)]
    peer = [sys.executable, __file__, "--peer", *square, "default"]
    return {"our squares": [program, *square], "PyTorch's squares": peer}


def of_the_ceiling(found, side, products):
    """A side's products in a second as a share of those of squares on the same side."""
    squares = "PyTorch's squares" if side in LAYOUTS else "our squares"
    return products / 1024**3 * found.times(squares, side)[1]


def commands(shape, what, options):
    arguments = [*map(str, shape), what, str(options.threads)]
    peer = [sys.executable, __file__, "--peer", *arguments]
    layouts = {layout: [*peer, layout] for layout in LAYOUTS}
    return {"ours": [options.program, *arguments], **layouts, **ceilings(options.program, options.threads)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/examples/layer_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--peer", nargs=10, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        kind, *numbers, what, threads, layout = options.peer
        return measure_peer(kind, *map(int, numbers), what, int(threads), layout)
    numbers = 1 << 25
    copy = turns.Comparison({"copy": [options.program, "copy", str(numbers)]}, ["copy"], options)
    copied = 8 * numbers / copy.seconds["copy"]
    print(f"{options.threads} threads, {copy.clock} milliseconds; a copy of memory, on one thread, {1e-9 * copied:.1f} GB/s\n")
    print("| layer | channels | grid | | ours | channels-last | default | times PyTorch | quartiles | of the ceiling "
          "| PyTorch | why |")
    print("|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|---|")
    for name, *shape, why in ROWS:
        if options.only not in name:
            continue
        kind, kernel, stride, inputs, outputs, size, batch = shape
        unit, forward = work(*shape)
        for what in ("infer", "train"):
            found = turns.Comparison(commands(shape, what, options), LAYOUTS, options)
            # A step back makes as many products for the weights, and for the input, as one forward.
            steps = {"infer": 1, "train": 2 if kind == "stem" else 3}[what]
            if unit == "bytes":
                shares = [steps * forward / found.seconds[side] / copied for side in ("ours", found.other)]
            else:
                shares = [of_the_ceiling(found, side, steps * forward) for side in ("ours", found.other)]
            low, median, high = found.times(found.other, "ours")
            channels = f"{3 if kind == 'stem' else inputs} to {outputs}"
            milliseconds = " | ".join(f"{1e3 * found.seconds[side]:.2f}" for side in ("ours", *LAYOUTS))
            print(f"| {name} | {channels} | {batch} x {size}² | {what} | {milliseconds} | {median:.2f} "
                  f"| {low:.2f} to {high:.2f} | {shares[0]:.2f} | {shares[1]:.2f} | {why} |", flush=True)


if __name__ == "__main__":
    main()
