#!/usr/bin/env python3
"""Writes logits that timm's and torchvision's networks give, for tests that run without PyTorch.

    golden_logits.py > crates/dermflow-nn/testdata/logits.tsv

Weights and images follow from names and indices by a formula that the test knows too, so that
only logits are stored. Columns: our name, our flavour, mode (running or batch statistics), how far off
PyTorch itself is in float32 (largest difference as a share of the largest number, in the setting that is
farthest off), logits of two images in float64.
"""

import copy
import functools
import math

import numpy as np
import timm
import torch
import torchvision
from torchvision.models import efficientnet

from networks import difference, in_float32, narrow

SHAPE = (2, 3, 33, 40)
MASK = 2**64 - 1


def uniform(name, count):
    """Numbers in [-0.5, 0.5), exact in float32: SplitMix64 from the name's FNV-1a hash."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        value = np.arange(count, dtype=np.uint64) + np.uint64(start) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value = value ^ (value >> np.uint64(31))
    return (value >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5


def number(name, shape):
    numbers = uniform(name, math.prod(shape)).reshape(shape)
    if name.endswith(("running_var",)) or (name.endswith("weight") and len(shape) == 1):
        return 1.0 + 0.5 * numbers
    if len(shape) == 1:
        return 0.5 * numbers
    # A power of two that keeps numbers alive from layer to layer, so that the product is exact.
    louder = 0 if ".se." in name or ".fc" in name else 1
    return numbers * 2.0 ** (math.floor(math.log2(24 / math.prod(shape[1:])) / 2) + louder)


def narrow_torchvision(name, **more):
    """The same by torchvision; of EfficientNetV2 it knows the published widths alone."""
    blocks, last = efficientnet._efficientnet_conf(name, **more)
    make = efficientnet._efficientnet
    return make(blocks, 0.0, last, None, False, stochastic_depth_prob=0.0, num_classes=7, norm_layer=norm(name))


def norm(name):
    """As torchvision's own builders choose it."""
    return functools.partial(torch.nn.BatchNorm2d, eps=1e-3) if "v2" in name else None


def cases():
    same = {"bn_eps": 1e-3, "pad_type": "same"}
    yield "efficientnet-b0", "timm", narrow("efficientnet", "efficientnet_b0")
    yield "efficientnet-b0", "tensorflow", narrow("efficientnet", "tf_efficientnet_b0", **same)
    yield "efficientnetv2-b0", "tensorflow", narrow("efficientnetv2_base", "tf_efficientnetv2_b0", **same)
    yield "efficientnetv2-s", "timm", narrow("efficientnetv2_s", "efficientnetv2_s")
    yield "efficientnet-lite0", "tensorflow", narrow("efficientnet_lite", "tf_efficientnet_lite0", **same)
    yield "efficientnet-b0", "torchvision", narrow_torchvision("efficientnet_b0", width_mult=0.25, depth_mult=0.3)
    yield "efficientnetv2-s", "torchvision", narrow_torchvision("efficientnet_v2_s")


print(f"# timm {timm.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}")
images = torch.tensor(4.0 * uniform("images", math.prod(SHAPE)).reshape(SHAPE[0], SHAPE[2], SHAPE[3], SHAPE[1]))
images = images.permute(0, 3, 1, 2)
for name, flavour, model in cases():
    state = model.state_dict()
    for key, tensor in state.items():
        if "num_batches" not in key:
            state[key] = torch.tensor(number(key, tuple(tensor.shape)))
    model.double().load_state_dict(state)
    for train in (False, True):
        with torch.no_grad():
            logits = copy.deepcopy(model).train(train)(images).numpy().flatten()
        single = copy.deepcopy(model).float().train(train)
        own = max(difference(found, logits) for found, _ in in_float32(single, images.float()))
        values = "\t".join(f"{value:.9e}" for value in logits)
        print(f"{name}\t{flavour}\t{'batch' if train else 'running'}\t{own:.2e}\t{values}")
