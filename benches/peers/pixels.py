"""Pixels beside Pillow's: plain, with a profile, ink, turned, and resized.

    VENV/bin/python benches/peers/pixels.py FILE-OR-FOLDER [...] [--limit 40]

Needs `pillow` and `numpy`. Every file is decoded by the bench program (`pictures pixels`) and by Pillow as
a viewer would use it: upright, its profile followed to sRGB (perceptual), over white. Prints, for each
sort of picture, how many agree to the byte and the mean and largest difference of the others; then
the same for pictures shrunk to 224 × 224 with a bicubic filter.
"""

import argparse
import io
import pathlib
import subprocess
import tempfile

import numpy
from PIL import Image, ImageCms, ImageOps

from images import built_bench

SRGB = ImageCms.createProfile("sRGB")


def shown(path):
    """The picture as Pillow shows it, and what sort it is."""
    picture = Image.open(path)
    picture.load()
    sort = f"{picture.format} {picture.mode}"
    profile = picture.info.get("icc_profile")
    if picture.getexif().get(274, 1) != 1:
        sort += ", turned"
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if profile and picture.mode in ("RGB", "L", "CMYK"):
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        sort += ", profile " + (ImageCms.getProfileDescription(given).strip() or "unnamed")
        try:
            picture = ImageCms.profileToProfile(picture, given, SRGB, outputMode="RGB")
        except ImageCms.PyCMSError:
            sort += " (not usable)"
    if picture.mode in ("RGBA", "LA"):
        over = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(over, picture.convert("RGBA"))
    return picture.convert("RGB"), sort


def ours(bench, path, side):
    with tempfile.NamedTemporaryFile() as out:
        words = [bench, "pixels", str(path), str(side), out.name]
        told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        if told.startswith("refused"):
            return None, told
        width, height = map(int, told.split())
        return numpy.frombuffer(pathlib.Path(out.name).read_bytes(), numpy.uint8).reshape(height, width, 3), told


def table(title, rows):
    print(f"\n### {title}\n\n| sort | pictures | equal | mean difference | largest |\n|---|---|---|---|---|")
    for sort, differences in sorted(rows.items()):
        equal = sum(difference.max() == 0 for difference in differences)
        mean = numpy.mean([difference.mean() for difference in differences])
        largest = max(int(difference.max()) for difference in differences)
        print(f"| {sort} | {len(differences)} | {equal} | {mean:.3f} | {largest} |")


def main():
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("places", nargs="+", type=pathlib.Path)
    reader.add_argument("--limit", type=int, default=40)
    given = reader.parse_args()
    bench = built_bench()
    plain, small = {}, {}
    for place in given.places:
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        for path in files[: given.limit]:
            try:
                picture, sort = shown(path)
            except Exception:  # What Pillow refuses is the robustness test's.
                continue
            for rows, side in ((plain, 0), (small, 224)):
                pixels, told = ours(bench, path, side)
                if pixels is None:
                    print(f"{path.name} ({sort}): {told}")
                    break
                expected = picture.resize((side, side), Image.Resampling.BICUBIC) if side else picture
                difference = numpy.abs(pixels.astype(int) - numpy.asarray(expected).astype(int))
                rows.setdefault(sort, []).append(difference)
    table("At full size", plain)
    table("Shrunk to 224 × 224", small)


if __name__ == "__main__":
    main()
