"""Makes the demo's pictures and tables from the two public sets they come from.

    python3 pipelines/demo/make.py ISIC2017 PAD_UFES20

Each argument is a folder with `images/`, `labels.csv` and `boxes.csv` (corners as fractions of the
upright picture). Needs Pillow. Which pictures are taken, and which of them are in which list, is
drawn by the SHA-256 of their names, so a run gives the same lists again.
"""

import csv
import hashlib
import io
import pathlib
import sys

from PIL import Image, ImageOps

SIDE, QUALITY = 160, 85
ISIC = {"nevus": 360, "melanoma": 220, "seborrheic_keratosis": 150}
PAD = {
    "NEV": "nevus",
    "MEL": "melanoma",
    "SEK": "seborrheic_keratosis",
    "BCC": "basal_cell_carcinoma",
    "ACK": "actinic_keratosis",
    "SCC": "squamous_cell_carcinoma",
}
TEST, CLEAN, BOXED, FLIPPED = 0.2, 0.4, 0.5, 0.3


def draw(purpose, name):
    """A number from 0 to 1 that belongs to the name."""
    digest = hashlib.sha256(f"{purpose} {name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def read(path):
    """The rows; what is `unknown` is missing."""
    with open(path, newline="") as table:
        rows = csv.DictReader(table)
        return [{name: "" if value == "unknown" else value for name, value in row.items()} for row in rows]


def write(path, rows):
    with open(path, "w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def chosen(isic, pad):
    """Every picture of the demo, with what is known of it."""
    for label, count in ISIC.items():
        rows = [row for row in read(isic / "labels.csv") if row["class"] == label]
        for row in sorted(rows, key=lambda row: draw("choose", row["image"]))[:count]:
            name = row["image"]
            yield isic, "isic2017", name, label, name.removesuffix(".jpg"), row["age"], row["sex"]
    for row in read(pad / "labels.csv"):
        yield pad, "pad_ufes20", row["image"], PAD[row["class"]], row["patient_id"], row["age"], row["gender"].lower()


def shrink(source, target):
    """The picture upright, in sRGB, its longest side `SIDE`, without any metadata."""
    picture = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    bytes_ = io.BytesIO()
    picture.save(bytes_, "JPEG", quality=QUALITY, optimize=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bytes_.getvalue())


def main(isic, pad):
    here = pathlib.Path(__file__).parent
    labels, dirty, known = [], [], {}
    for folder, origin, name, label, patient, age, sex in chosen(isic, pad):
        file = f"{origin}/{name}"
        shrink(folder / "images" / name, here / "images" / file)
        test = draw("test", patient) < TEST
        clean = not test and draw("clean", file) < CLEAN
        boxed = clean and draw("boxed", file) < BOXED
        known[origin, name] = file, label
        row = {"file": file, "label": label, "patient": patient, "age": age, "sex": sex, "set": origin}
        labels.append(row | {"test": test, "clean": clean, "boxed": boxed})
        if not test:
            others = sorted((set(ISIC) if origin == "isic2017" else set(PAD.values())) - {label})
            flipped = draw("flip", file) < FLIPPED
            found = others[int(draw("to", file) * len(others))] if flipped else label
            dirty.append({"file": file, "label": found, "patient": patient})
    boxes = []
    for origin, folder in (("isic2017", isic), ("pad_ufes20", pad)):
        for row in read(folder / "boxes.csv"):
            if (origin, row["image"]) in known:
                file, label = known[origin, row["image"]]
                corners = {side: row[side] for side in ("x0", "y0", "x1", "y1")}
                boxes.append({"file": file, "label": label} | corners)
    for rows in (labels, dirty, boxes):
        rows.sort(key=lambda row: row["file"])
        for row in rows:
            row.update((key, str(value).lower()) for key, value in row.items() if isinstance(value, bool))
    has_box = {row["file"] for row in boxes}
    for row in labels:
        if row["file"] not in has_box:
            row["boxed"] = "false"
    write(here / "labels.csv", labels)
    write(here / "dirty.csv", dirty)
    write(here / "boxes.csv", boxes)


if __name__ == "__main__":
    main(*(pathlib.Path(argument) for argument in sys.argv[1:3]))
