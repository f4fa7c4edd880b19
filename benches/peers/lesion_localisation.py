"""Real detections and heat of lesions, and their figures by pycocotools, scikit-learn and numpy.

Dark spots of the first 100 phone photos of PAD-UFES-20 that have boxes, found by Otsu's threshold
on smoothed darkness, against the boxes; and the darkness itself as a grid of 8 × 8 cells.

    python lesion_localisation.py --photos PAD_UFES20 \
        --predictions ../../crates/dermflow-stages/tests/data/lesion_predictions.csv \
        --out ../../crates/dermflow-stages/tests/data

Writes lesion_boxes.csv, lesion_detections.csv, lesion_heat.csv and localisation_figures.json.
Needs scikit-learn, scipy, pandas, Pillow and pycocotools.
"""

import argparse
import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas
from evaluation import read
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage
from sklearn.metrics import jaccard_score, roc_auc_score

PHOTOS = 100
SIDE = 64
STRIDE = 8


def otsu(values):
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return middles[np.nanargmax(between)]


def spots(darkness):
    """Boxes of connected dark spots as fractions, with how dark they are against the rest."""
    height, width = darkness.shape
    numbered, count = ndimage.label(darkness > otsu(darkness))
    found = []
    for number, place in enumerate(ndimage.find_objects(numbered), start=1):
        inside = numbered == number
        if inside.sum() < 0.005 * darkness.size:
            continue
        rows, columns = place
        contrast = darkness[inside].mean() - darkness[~inside].mean()
        box = (columns.start / width, rows.start / height)
        sides = ((columns.stop - columns.start) / width, (rows.stop - rows.start) / height)
        strength = contrast * np.sqrt(inside.mean())
        score = np.float32(strength / (1 + strength))
        found.append((*box, *sides, score))
    return found


def letterboxed(picture):
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    stored = Image.new("L", (SIDE, SIDE), 0)
    stored.paste(picture.resize((width, height), Image.Resampling.BOX), (left, top))
    grid = stored.resize((SIDE // STRIDE, SIDE // STRIDE), Image.Resampling.BOX)
    return np.asarray(grid), (left / SIDE, top / SIDE, width / SIDE, height / SIDE)


def localise(photos, names):
    detections, heats = [], []
    for name in names:
        picture = Image.open(photos / "images" / name).convert("RGB")
        picture.thumbnail((128, 128))
        red, green, _ = (np.asarray(picture, dtype=float)[:, :, channel] for channel in range(3))
        darkness = ndimage.gaussian_filter(255 - (red + 2 * green) / 3, 3)
        darkness = (darkness - darkness.min()) / (np.ptp(darkness) or 1)
        detections += [(name, *spot) for spot in spots(darkness)]
        grey = Image.fromarray(np.round(darkness * 255).astype(np.uint8))
        heats.append((name, *letterboxed(grey)))
    return detections, heats


def overlap(left, right):
    across = max(0, min(left[0] + left[2], right[0] + right[2]) - max(left[0], right[0]))
    down = max(0, min(left[1] + left[3], right[1] + right[3]) - max(left[1], right[1]))
    both = across * down
    return both / (left[2] * left[3] + right[2] * right[3] - both)


def average_precision(boxes, detections):
    """At all points, matched greedily at an overlap of a half, in the order of the scores."""
    taken, met, errors, overlaps = set(), [], [], []
    for name, x, y, w, h, _ in sorted(detections, key=lambda one: -one[-1]):
        free = [
            (overlap((x, y, w, h), box), -at, box)
            for at, (other, *box) in enumerate(boxes)
            if other == name and at not in taken
        ]
        best = max(free, default=(0, 0, None))
        met.append(best[0] >= 0.5)
        if met[-1]:
            taken.add(-best[1])
            bx, by, bw, bh = best[2]
            errors.append(np.hypot((x + w / 2 - bx - bw / 2) / bw, (y + h / 2 - by - bh / 2) / bh))
            overlaps.append(best[0])
    right = np.cumsum(met)
    precision = right / np.arange(1, len(met) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return {
        "average-precision": float(best[np.array(met)].sum() / len(boxes)),
        "recall": float(right[-1] / len(boxes)),
        "centre-error": float(np.mean(errors)),
        "mean-overlap": float(np.mean(overlaps)),
    }


def coco_average_precision(boxes, detections):
    names = sorted({name for name, *_ in boxes})
    number = {name: at + 1 for at, name in enumerate(names)}
    scaled = lambda sides: [1000 * side for side in sides]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": at} for at in number.values()],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": at + 1, "image_id": number[name], "category_id": 1, "bbox": scaled(box), "area": 1e6 * box[2] * box[3], "iscrowd": 0}
            for at, (name, *box) in enumerate(boxes)
        ],
    }
    found = [
        {"image_id": number[name], "category_id": 1, "bbox": scaled((x, y, w, h)), "score": float(score)}
        for name, x, y, w, h, score in detections
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def of_heat(heats, boxes):
    """Mean overlap, AUROC and energy over images, cells judged by their middle; and what heat that
    ebbs from the middle of the picture to its corners would get."""
    figures = {"overlap": [], "auroc": [], "energy-in-lesion": [], "middle-auroc": [], "middle-pointing-game": []}
    for name, grid, (left, top, width, height) in heats:
        side = SIDE // STRIDE
        middle = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid((middle - left) / width, (middle - top) / height)
        judged = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        inside = np.zeros_like(judged)
        for other, bx, by, bw, bh in boxes:
            if other == name:
                inside |= (x >= bx) & (x <= bx + bw) & (y >= by) & (y <= by + bh)
        heat, lesion = grid[judged] / 255, inside[judged]
        if lesion.any() or (heat >= 0.5).any():
            figures["overlap"].append(jaccard_score(lesion, heat >= 0.5))
        away = np.hypot(x - 0.5, y - 0.5)[judged].round(9)
        if lesion.any() and not lesion.all():
            figures["auroc"].append(roc_auc_score(lesion, heat))
            figures["middle-auroc"].append(roc_auc_score(lesion, -away))
        figures["middle-pointing-game"].append(lesion[away == away.min()].mean())
        figures["energy-in-lesion"].append(heat[lesion].sum() / heat.sum())
    return {name: float(np.mean(values)) for name, values in figures.items()}


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = pandas.read_csv(arguments.photos / "boxes_components.csv").sort_values(["image", "x0", "y0"])
    names = sorted(set(table["image"]))[:PHOTOS]
    table = table[table["image"].isin(names)]
    boxes = [
        (row["image"], row["x0"], row["y0"], round(row["x1"] - row["x0"], 5), round(row["y1"] - row["y0"], 5))
        for _, row in table.iterrows()
    ]
    photos, classes, probabilities, _ = read(arguments.predictions)
    predicted = dict(zip(photos["image"], np.array(classes)[probabilities.argmax(axis=1)]))
    detections, heats = localise(arguments.photos, names)
    sides = ["x", "y", "w", "h"]
    write(arguments.out / "lesion_boxes.csv", ["image", "label", *sides], [(name, label, *box) for (name, *box), label in zip(boxes, table["class"])])
    rows = [(name, predicted[name], *map(float, box), score) for name, *box, score in detections]
    write(arguments.out / "lesion_detections.csv", ["image", "label", *sides, "probability"], rows)
    rows = [(name, *map(float, place), grid.tobytes().hex()) for name, grid, place in heats]
    write(arguments.out / "lesion_heat.csv", ["image", "left", "top", "width", "height", "heat"], rows)
    document = {
        "detections": average_precision(boxes, detections),
        "coco_average_precision": coco_average_precision(boxes, detections),
        "heat": of_heat(heats, boxes),
    }
    (arguments.out / "localisation_figures.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
