"""Training steps and inference of whole networks, beside PyTorch, in turns.

Needs PyTorch and timm for the other side, and our example program:

    cargo build --release -p dermflow-nn --example network_speed --example layer_speed
    ../peers/bin/python benches/peers/network_speed.py --threads 2

Every figure is the fastest round of a fresh process; processes take turns, and the fastest of
all turns counts. PyTorch runs twice, channels-last and in its default layout; ratios are to the
faster of the two. `of the ceiling` are multiply-adds a second (three times a forward pass' for a
training step) as a share of those of a product of square matrices of 1024, measured at the start on
each side by `layer_speed` (see layers.py). With one thread, processor time is compared, so that other work on the machine
matters less. Memory is the most that a process had, less what it had before its first step.
"""

import argparse
import json
import subprocess
import sys

import layers

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


def measure_peer(network, size, batch, what, threads, seconds, layout):
    """Runs in a process of its own and prints a line of JSON."""
    import time

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
    step()
    wall, cpu, rounds = float("inf"), float("inf"), 0
    begin = time.perf_counter()
    while rounds < 3 or time.perf_counter() - begin < seconds:
        start, start_cpu = time.perf_counter(), time.process_time()
        step()
        wall = min(wall, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - start_cpu)
        rounds += 1
    result = {"wall": wall, "cpu": cpu, "rounds": rounds, "base": base, "peak": status("VmHWM")}
    print(json.dumps(result))


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/examples/network_speed")
    parser.add_argument("--layers", default="target/release/examples/layer_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each process")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--what", default="train,infer")
    parser.add_argument("--batch", type=int, help="images at a time, in the place of each row's own")
    parser.add_argument("--peer", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        network, size, batch, what, threads, seconds, layout = options.peer
        measure_peer(network, int(size), int(batch), what, int(threads), float(seconds), layout)
        return
    clock = "cpu" if options.threads == 1 else "wall"
    print(f"{options.threads} threads, {clock} seconds of the fastest round; MiB above the start\n")
    squares = argparse.Namespace(**{**vars(options), "program": options.layers, "seconds": 1.0})
    ours, *theirs = layers.Bench(squares).times(layers.SQUARE[1:], "infer")
    ceilings = layers.work(*layers.SQUARE[1:])[1] / ours, 1024**3 / min(theirs)
    print("| network | size | batch | | ours | channels-last | default | ratio | of the ceiling | PyTorch "
          "| ours MiB | PyTorch MiB | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for network, size, batch in ROWS:
        if options.only not in network:
            continue
        batch = options.batch or batch
        for what in options.what.split(","):
            arguments = [network, str(size), str(batch), what, str(options.threads), str(options.seconds)]
            peer = [sys.executable, __file__, "--peer", *arguments]
            commands = {
                "ours": [options.program, *arguments],
                "channels-last": [*peer, "channels-last"],
                "default": [*peer, "default"],
            }
            times = {name: [] for name in commands}
            memory = {name: [] for name in commands}
            products = 0
            for _ in range(options.turns):
                for name, command in commands.items():
                    result = run(command)
                    times[name].append(result[clock])
                    products = result.get("multiply_adds", products)
                    memory[name].append((result["peak"] - result["base"]) / 2**20)
            best = {name: min(values) for name, values in times.items()}
            held = {name: min(values) for name, values in memory.items()}
            other = min(best["channels-last"], best["default"])
            products *= 3 if what == "train" else 1
            shares = [products / seconds / ceiling for seconds, ceiling in zip((best["ours"], other), ceilings)]
            other_memory = min(held["channels-last"], held["default"])
            print(
                f"| {network} | {size} | {batch} | {what} | {best['ours']:.4f} | {best['channels-last']:.4f} "
                f"| {best['default']:.4f} | {other / best['ours']:.2f} "
                f"| {shares[0]:.2f} | {shares[1]:.2f} | {held['ours']:.0f} "
                f"| {other_memory:.0f} | {held['ours'] / max(other_memory, 1):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
