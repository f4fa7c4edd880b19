"""Writes what timm and torchvision say of every published network, as a table for tests.

    python benches/peers/network_table.py > crates/dermflow-nn/testdata/published.tsv

Columns: library, its name, our name, our flavour, parameters and parameters with running
statistics (1000 classes), epsilon and momentum of the norms, image size, multiply-adds of
convolutions and linear layers there (half of what torch.utils.flop_counter counts), tensors, and
a 64-bit FNV-1a hash of all names and shapes, sorted.
"""

import torch
import timm
import torchvision
from torch.utils.flop_counter import FlopCounterMode

SIZES = {
    "efficientnet-b": [224, 240, 260, 300, 380, 456, 528, 600],
    "efficientnetv2-b": [224, 240, 260, 300],
    "efficientnet-lite": [224, 240, 260, 280, 300],
}
LARGE = {"s": 384, "m": 480, "l": 480, "xl": 512}


def networks():
    for index, size in enumerate(SIZES["efficientnet-b"]):
        ours = f"efficientnet-b{index}"
        yield "timm", f"efficientnet_b{index}", ours, "timm", size
        yield "timm", f"tf_efficientnet_b{index}", ours, "tensorflow", size
        yield "torchvision", f"efficientnet_b{index}", ours, "torchvision", size
    for index, size in enumerate(SIZES["efficientnetv2-b"]):
        yield "timm", f"tf_efficientnetv2_b{index}", f"efficientnetv2-b{index}", "tensorflow", size
    for letter, size in LARGE.items():
        ours = f"efficientnetv2-{letter}"
        yield "timm", f"efficientnetv2_{letter}", ours, "timm", size
        yield "timm", f"tf_efficientnetv2_{letter}", ours, "tensorflow", size
        if letter != "xl":
            yield "torchvision", f"efficientnet_v2_{letter}", ours, "torchvision", size
    for index, size in enumerate(SIZES["efficientnet-lite"]):
        ours = f"efficientnet-lite{index}"
        yield "timm", f"efficientnet_lite{index}", ours, "timm", size
        yield "timm", f"tf_efficientnet_lite{index}", ours, "tensorflow", size


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def row(library, name, ours, flavour, size):
    with torch.device("meta"):
        make = timm.create_model if library == "timm" else torchvision.models.get_model
        model = make(name).eval()
        image = torch.empty(1, 3, size, size)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    statistics = sum(buffer.numel() for key, buffer in model.named_buffers() if "running" in key)
    norms = {(m.eps, m.momentum) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    [(epsilon, momentum)] = norms
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    state = model.state_dict()
    lines = sorted(f"{key} {list(tensor.shape)}\n" for key, tensor in state.items())
    fields = [library, name, ours, flavour, parameters, parameters + statistics, epsilon, momentum, size]
    return fields + [counter.get_total_flops() // 2, len(state), f"{fnv(''.join(lines)):016x}"]


print(f"# timm {timm.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}")
for network in networks():
    print("\t".join(str(field) for field in row(*network)), flush=True)
