"""Compares augmentation with Pillow, which timm's RandAugment is made of, and blur with numpy.

Needs Pillow and numpy, and `cargo build --example recolour -p dermflow-vision`. Prints for each
operation and factor the largest difference of any value and the share of values that differ by
more than one; fails where one is further off than it may be.
"""

import argparse
import subprocess
import sys

import numpy
from PIL import Image, ImageEnhance, ImageOps

# Operation, factor, what Pillow does, the most that any value may differ by.
# Pillow cuts off where we round, so a difference of one is none, and its turned pixels are
# weighted in other steps. Its blur is three box filters, so blur is compared with numpy's.
CASES = [
    *[("brightness", f, lambda p, f: ImageEnhance.Brightness(p).enhance(f), 1) for f in (0.1, 0.6, 1.0, 1.9)],
    *[("contrast", f, lambda p, f: ImageEnhance.Contrast(p).enhance(f), 1) for f in (0.1, 0.6, 1.0, 1.9)],
    *[("saturation", f, lambda p, f: ImageEnhance.Color(p).enhance(f), 1) for f in (0.1, 0.6, 1.0, 1.9)],
    *[("sharpness", f, lambda p, f: ImageEnhance.Sharpness(p).enhance(f), 1) for f in (0.1, 0.6, 1.0, 1.9)],
    ("auto-contrast", 0, lambda p, f: ImageOps.autocontrast(p), 1),
    ("equalize", 0, lambda p, f: ImageOps.equalize(p), 0),
    *[("rotate", f, lambda p, f: p.rotate(-f, Image.BILINEAR, fillcolor=(128,) * 3), 2) for f in (0, 13, -27, 90)],
    *[("blur", f, lambda p, f: gaussian(p, f), 1) for f in (0.7, 2.0)],
]


def gaussian(picture, sigma):
    """Gaussian blur in float64 over three standard deviations, borders repeated."""
    radius = int(numpy.ceil(3 * sigma))
    kernel = numpy.exp(-(numpy.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    values = numpy.asarray(picture).astype(float)
    for axis in (0, 1):
        values = numpy.apply_along_axis(
            lambda line: numpy.convolve(numpy.pad(line, radius, mode="edge"), kernel, "valid"), axis, values
        )
    return numpy.rint(values).astype(numpy.uint8)


def pictures():
    """A smooth picture, a noisy one and a dark one with few levels."""
    rng = numpy.random.default_rng(20)
    rows, columns = numpy.mgrid[0:90, 0:120]
    smooth = numpy.stack([columns * 2, rows * 2.5, (rows + columns) * 0.9], axis=-1)
    yield "smooth", smooth.clip(0, 255).astype(numpy.uint8)
    yield "noisy", rng.integers(0, 256, (64, 80, 3), dtype=numpy.uint8)
    yield "dark", rng.integers(20, 60, (48, 48, 3), dtype=numpy.uint8)


def ours(program, pixels, operation, factor):
    height, width, _ = pixels.shape
    command = [program, str(width), str(height), operation, str(factor)]
    done = subprocess.run(command, input=pixels.tobytes(), capture_output=True, check=True)
    return numpy.frombuffer(done.stdout, numpy.uint8).reshape(pixels.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/debug/examples/recolour")
    program = parser.parse_args().program
    failed = False
    print(f"{'operation':14} {'factor':>6} {'picture':8} {'largest':>7} {'over one':>9}")
    for name, pixels in pictures():
        for operation, factor, pillow, most in CASES:
            theirs = numpy.asarray(pillow(Image.fromarray(pixels), factor)).astype(int)
            apart = numpy.abs(ours(program, pixels, operation, factor).astype(int) - theirs)
            if operation == "rotate":
                # Pillow leaves out pixels whose middle lies less than half a pixel outside.
                apart = apart[2:-2, 2:-2]
                known = (theirs[2:-2, 2:-2] != 128).all(-1)
                apart = apart[known]
            largest, over = apart.max(), (apart > 1).mean()
            wrong = largest > most
            failed |= bool(wrong)
            print(f"{operation:14} {factor:6} {name:8} {largest:7} {over:9.2%}{'  WRONG' if wrong else ''}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
