"""What cleanlab makes of labels of which a fifth is wrong, for the tests that compare with it.

The confident joint is counted here as the paper defines it (Northcutt, Jiang and Chuang 2021, eq. 1):
of the classes whose threshold is reached the likeliest one. cleanlab 2.9 takes the likeliest of all
classes where two or more are reached, so it is given the joint.

    python label_errors.py --predictions ../../crates/dermflow-stages/tests/data/lesion_predictions.csv \
        --out ../../crates/dermflow-stages/tests/data/label_errors.json

Needs cleanlab and pandas. It is run as a program of its own; nothing of it is in the product.
"""

import argparse
import json
from pathlib import Path

import cleanlab
import numpy as np
from cleanlab.count import calibrate_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from evaluation import read

WAYS = {
    "noise-rate": "prune_by_noise_rate",
    "class": "prune_by_class",
    "both": "both",
    "predicted": "predicted_neq_given",
}
SCORES = {"margin": "normalized_margin", "self-confidence": "self_confidence"}


def confident_joint(labels, probabilities):
    """Counts of (label, class), and the class that each sample counts as, -1 for none."""
    reached = probabilities >= get_confident_thresholds(labels, probabilities) - 1e-6
    counted = np.where(reached.any(axis=1), np.where(reached, probabilities, -1).argmax(axis=1), -1)
    joint = np.zeros((probabilities.shape[1],) * 2, dtype=int)
    np.add.at(joint, (labels[counted >= 0], counted[counted >= 0]), 1)
    return joint, counted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table, classes, probabilities, _ = read(arguments.predictions)
    labels = np.array([classes.index(name) for name in table["given"]])
    images = table["image"].to_numpy(dtype=str)
    joint, counted = confident_joint(labels, probabilities)
    calibrated = calibrate_confident_joint(joint, labels)
    suspects = {
        name: sorted(images[find_label_issues(labels, probabilities, filter_by=way, confident_joint=calibrated, n_jobs=1)])
        for name, way in WAYS.items()
    }
    off_diagonal = (counted >= 0) & (counted != labels) & (probabilities.argmax(axis=1) != labels)
    suspects["confident-joint"] = sorted(images[off_diagonal])
    scores = {
        name: dict(zip(images, map(float, get_label_quality_scores(labels, probabilities, method=method))))
        for name, method in SCORES.items()
    }
    document = {
        "by": f"cleanlab {cleanlab.__version__}",
        "thresholds": list(map(float, get_confident_thresholds(labels, probabilities))),
        "confident_joint": joint.tolist(),
        "suspects": suspects,
        "scores": scores,
    }
    arguments.out.write_text(json.dumps(document, indent=0) + "\n")


if __name__ == "__main__":
    main()
