"""Training steps and inference of whole networks, beside PyTorch, in turns.

Needs PyTorch and timm for the other side, and our example program:

    cargo build --release -p dermflow-nn --example network_speed --example layer_speed
    ../peers/bin/python benches/peers/network_speed.py --threads 2

All take short turns (turns.py): seconds are the median of the turns' fastest rounds, `times` the
median of how many times as long PyTorch takes, in the faster of channels-last and its default layout, and
its quartiles over the turns. `of the ceiling` are multiply-adds a second (three times a forward pass' for a
training step) as a share of those of a product of square matrices of 1024 in the same turns, on each side (see
layers.py). With one thread, processor time is compared, so that other work on the machine
matters less. Memory is the most that a process had, less what it had before its first step.
`--before PROGRAM` compares with an older build of ours in PyTorch's place.
"""

import argparse
import sys

import layers
import turns

ROWS = [
    ("efficientnetv2-b0", 96, 32),
    ("efficientnetv2-b0", 128, 32),
    ("efficientnetv2-b0", 192, 16),
    ("efficientnet-b0", 224, 16),
    ("efficientnetv2-s", 128, 16),
    ("regressor:efficientnetv2-b0", 128, 16),
    ("regressor:efficientnetv2-b0", 256, 8),
]

PEERS = {
    "efficientnetv2-b0": "tf_efficientnetv2_b0",
    "efficientnetv2-s": "tf_efficientnetv2_s",
    "efficientnet-b0": "efficientnet_b0",
}


def status(name):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def build(network):
    import timm
    import torch
    from torch import nn

    regressor = network.startswith("regressor:")
    name = PEERS[network.removeprefix("regressor:")]
    # The same symmetric padding as ours: TensorFlow's costs PyTorch a copy at every stride.
    options = {"pad_type": ""} if name.startswith("tf_") else {}
    if not regressor:
        return timm.create_model(name, num_classes=50, **options)

    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4), **options)
            channels = self.backbone.feature_info.channels()
            self.up, self.side = nn.ModuleList(), nn.ModuleList()
            below = channels[-1]
            for width, side in zip((128, 96, 64), channels[-2::-1]):
                up = nn.ConvTranspose2d(below, width, 4, 2, 1, bias=False)
                self.up.append(nn.Sequential(up, nn.BatchNorm2d(width), nn.SiLU()))
                self.side.append(nn.Sequential(nn.Conv2d(side, width, 1, bias=False), nn.BatchNorm2d(width)))
                below = width

            def head(out):
                return nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1), nn.SiLU(), nn.Conv2d(64, out, 1))

            self.heat, self.size = head(8), head(2)

        def forward(self, images):
            *sides, out = self.backbone(images)
            for up, side, features in zip(self.up, self.side, sides[::-1]):
                out = up(out) + side(features)
            return self.heat(out), self.size(out)

    return Regressor()


def measure_peer(network, size, batch, what, threads, layout):
    """Runs in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build(network)
    images = torch.rand(batch, 3, size, size)
    if layout == "channels-last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 50, (batch,))
    classifier = not network.startswith("regressor:")
    model.train(what == "train")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def train():
        optimiser.zero_grad(set_to_none=True)
        out = model(images)
        if classifier:
            loss = torch.nn.functional.cross_entropy(out, labels)
        else:
            loss = out[0].square().mean() + out[1].abs().mean()
        loss.backward()
        optimiser.step()

    def infer():
        with torch.inference_mode():
            model(images)

    step = train if what == "train" else infer
    # From here on, the most that the process had is counted anew.
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    base = status("VmRSS")
    turns.answer(step, lambda: {"base": base, "peak": status("VmHWM")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/examples/network_speed")
    parser.add_argument("--layers", default="target/release/examples/layer_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--before", help="another build of the program, in PyTorch's place")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--what", default="train,infer")
    parser.add_argument("--batch", type=int, help="images at a time, in the place of each row's own")
    parser.add_argument("--peer", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        network, size, batch, what, threads, layout = options.peer
        measure_peer(network, int(size), int(batch), what, int(threads), layout)
        return
    others = ["before"] if options.before else list(layers.LAYOUTS)
    print(f"{options.threads} threads, {'cpu' if options.threads == 1 else 'wall'} seconds; MiB above the start\n")
    print(f"| network | size | batch | | ours | {' | '.join(others)} | times | quartiles | of the ceiling | other "
          "| ours MiB | other MiB | share |")
    print(f"|---|---|---|---|{'---|' * len(others)}---|---|---|---|---|---|---|---|")
    for network, size, batch in ROWS:
        if options.only in network:
            for what in options.what.split(","):
                print(row(network, size, options.batch or batch, what, others, options), flush=True)


def row(network, size, batch, what, others, options):
    arguments = [network, str(size), str(batch), what, str(options.threads)]
    peer = [sys.executable, __file__, "--peer", *arguments]
    commands = {"ours": [options.program, *arguments]}
    commands |= {side: [options.before, *arguments] if side == "before" else [*peer, side] for side in others}
    squares = layers.ceilings(options.layers, options.threads)
    if options.before:
        del squares["PyTorch's squares"]
    found = turns.Comparison(commands | squares, others, options)
    low, median, high = found.times(found.other, "ours")
    products = found.answers["ours"][0]["multiply_adds"] * (3 if what == "train" else 1)
    shares = [layers.of_the_ceiling(found, side, products) for side in ("ours", found.other)]
    held = {side: max(each["peak"] - each["base"] for each in found.answers[side]) / 2**20 for side in commands}
    other_memory = min(held[side] for side in others)
    seconds = " | ".join(f"{found.seconds[side]:.4f}" for side in commands)
    return (
        f"| {network} | {size} | {batch} | {what} | {seconds} | {median:.2f} | {low:.2f} to {high:.2f} "
        f"| {shares[0]:.2f} | {shares[1]:.2f} | {held['ours']:.0f} | {other_memory:.0f} "
        f"| {held['ours'] / max(other_memory, 1):.2f} |"
    )


if __name__ == "__main__":
    main()
