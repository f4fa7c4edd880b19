"""Makes the small table of real predictions that the tests of `evaluate` and `label-audit` read.

A logistic regression on colour figures of the 342 phone photos of PAD-UFES-20, out of fold by
patient. Melanoma is held out of every training, so its photos are of a class that the model
does not know. In `given`, a seeded fifth of the labels is wrong, as in a dirty data set.

    python lesion_predictions.py --photos PAD_UFES20 --out ../../crates/dermflow-stages/tests/data/lesion_predictions.csv

Needs scikit-learn, pandas and Pillow. Another version of these may give other predictions; what
the tests compare are figures of the stored table.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas
from PIL import Image
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

UNSEEN = "MEL"
FOLDS = 4
SEED = 20


def colour_figures(path):
    """Means, spreads and histograms of hue, saturation and value, in the middle and at the edge."""
    picture = Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    hsv = np.asarray(picture.convert("HSV"), dtype=np.float64) / 255.0
    middle = np.zeros((64, 64), dtype=bool)
    middle[16:48, 16:48] = True
    figures = []
    for region in (middle, ~middle):
        pixels = hsv[region]
        figures += [*pixels.mean(axis=0), *pixels.std(axis=0)]
        for channel in range(3):
            counts, _ = np.histogram(pixels[:, channel], bins=8, range=(0, 1))
            figures += list(counts / len(pixels))
    return figures


def out_of_fold(figures, labels, groups, classes):
    """Logits of every row by a model that saw neither its patient nor the unseen class."""
    logits = np.zeros((len(labels), len(classes)))
    for train, test in GroupKFold(FOLDS).split(figures, labels, groups):
        train = [row for row in train if labels[row] != UNSEEN]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=5000))
        model.fit(figures[train], labels[train])
        assert list(model.classes_) == classes
        logits[test] = model.decision_function(figures[test])
    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = pandas.read_csv(arguments.photos / "labels.csv").sort_values("image")
    labels = table["class"].to_numpy(dtype=str)
    classes = sorted(set(labels) - {UNSEEN})
    figures = np.array([colour_figures(arguments.photos / "images" / name) for name in table["image"]])
    logits = out_of_fold(figures, labels, table["patient_id"].to_numpy(), classes)
    probabilities = softmax(logits, axis=1).astype(np.float32)
    energy = (-logsumexp(logits, axis=1)).astype(np.float32)
    draw = np.random.default_rng(SEED)
    patients = sorted(set(table["patient_id"]))
    valid = set(draw.choice(patients, size=len(patients) * 2 // 5, replace=False))
    with open(arguments.out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [f"p_{name}" for name in classes]
        writer.writerow(["image", "patient", "label", "given", "fold", "fitzpatrick", "age", "energy", *names])
        for row, (_, photo) in enumerate(table.iterrows()):
            wrong = draw.random() < 0.2
            other = str(draw.choice([name for name in classes if name != labels[row]]))
            fitzpatrick = photo["fitzpatrick"]
            writer.writerow(
                [
                    photo["image"],
                    photo["patient_id"],
                    labels[row],
                    other if wrong or labels[row] == UNSEEN else labels[row],
                    "valid" if photo["patient_id"] in valid else "test",
                    "" if pandas.isna(fitzpatrick) else int(fitzpatrick),
                    photo["age"],
                    energy[row],
                    *probabilities[row],
                ]
            )


if __name__ == "__main__":
    main()
