"""The figures of `evaluate` by scikit-learn and numpy, for the tests that compare with them.

    python evaluation.py --predictions ../../crates/dermflow-stages/tests/data/lesion_predictions.csv \
        --out ../../crates/dermflow-stages/tests/data/lesion_figures.json

Needs scikit-learn and pandas. What scikit-learn lacks (calibration errors, risk and coverage, the
reject option, intervals by patient) is written out here from its definition, in another way than
the program does it.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas
import sklearn
from sklearn import metrics

LEVEL = 0.95
RESAMPLES = 2000
MIN_SAMPLES = 20
BINS = 15
# Classes that count as one; the model doesn't know `MEL`.
GROUPS = {"malignant": ["BCC", "MEL", "SCC"]}
# Which rate is fixed, and how high it is at least.
FIXED = [("specificity", 0.9), ("sensitivity", 0.8), ("sensitivity", 0.95)]


def read(path):
    table = pandas.read_csv(path, keep_default_na=False)
    names = [column for column in table.columns if column.startswith("p_")]
    classes = [name.removeprefix("p_") for name in names]
    probabilities = table[names].to_numpy(dtype=np.float64).astype(np.float32).astype(np.float64)
    energy = table["energy"].to_numpy(dtype=np.float64).astype(np.float32).astype(np.float64)
    return table, classes, probabilities, energy


def of_labels(truth, predicted, classes):
    figures = {
        ("accuracy", None): metrics.accuracy_score(truth, predicted),
        ("balanced-accuracy", None): metrics.balanced_accuracy_score(truth, predicted),
        ("macro-f1", None): metrics.f1_score(truth, predicted, average="macro"),
        ("weighted-f1", None): metrics.f1_score(truth, predicted, average="weighted"),
        ("matthews-correlation", None): metrics.matthews_corrcoef(truth, predicted),
        ("cohen-kappa", None): metrics.cohen_kappa_score(truth, predicted),
    }
    for name in classes:
        (tn, fp), (fn, tp) = metrics.confusion_matrix(truth == name, predicted == name, labels=[False, True])
        for figure, part, whole in [
            ("sensitivity", tp, tp + fn),
            ("specificity", tn, tn + fp),
            ("precision", tp, tp + fp),
            ("negative-predictive-value", tn, tn + fn),
            ("f1", 2 * tp, 2 * tp + fp + fn),
        ]:
            if whole:
                figures[(figure, name)] = part / whole
    return figures


def of_probabilities(truth, probabilities, classes):
    figures = {}
    areas, precisions = [], []
    for place, name in enumerate(classes):
        if 0 < (truth == name).sum() < len(truth):
            areas.append(metrics.roc_auc_score(truth == name, probabilities[:, place]))
            figures[("auroc", name)] = areas[-1]
        if (truth == name).any():
            precisions.append(metrics.average_precision_score(truth == name, probabilities[:, place]))
            figures[("average-precision", name)] = precisions[-1]
    figures[("macro-auroc", None)] = np.mean(areas)
    figures[("macro-average-precision", None)] = np.mean(precisions)
    for top in (2, 3):
        score = metrics.top_k_accuracy_score(truth, probabilities, k=top, labels=classes)
        figures[(f"top-{top}-accuracy", None)] = score
    # log_loss wants rows that sum to 1 exactly, which float32 doesn't keep: it warns, and is right.
    figures[("log-loss", None)] = metrics.log_loss(truth, probabilities, labels=classes)
    figures[("brier", None)] = metrics.brier_score_loss(truth, probabilities, labels=classes, scale_by_half=False)
    return figures


def calibration(confidence, right):
    edges = np.linspace(0, 1, BINS + 1)
    width = np.digitize(confidence, edges[1:-1], right=True)
    error = 0.0
    for place in range(BINS):
        inside = width == place
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    rising = np.argsort(confidence, kind="stable")
    adaptive = sum(
        len(part) / len(confidence) * abs(confidence[part].mean() - right[part].mean())
        for part in np.array_split(rising, BINS)
        if len(part)
    )
    return {("expected-calibration-error", None): error, ("adaptive-calibration-error", None): adaptive}


def risk_coverage(confidence, right):
    falling = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[falling])
    return {("area-under-risk-coverage", None): np.mean(wrong / np.arange(1, len(right) + 1))}


def of_unseen(seen, sureness, name):
    if seen.all() or not seen.any():
        return {}
    false, true, _ = metrics.roc_curve(seen, sureness, drop_intermediate=False)
    return {
        (f"unseen-auroc-by-{name}", None): metrics.roc_auc_score(seen, sureness),
        (f"unseen-false-positive-rate-at-95-by-{name}", None): false[np.argmax(true >= 0.95)],
        (f"unseen-average-precision-of-seen-by-{name}", None): metrics.average_precision_score(seen, sureness),
        (f"unseen-average-precision-of-unseen-by-{name}", None): metrics.average_precision_score(~seen, -sureness),
    }


def rejection(kept, seen, right, point):
    shares = {
        "coverage": kept[seen],
        "risk": ~right[seen & kept],
        "unseen-rejected": ~kept[~seen],
        "risk-with-unseen": ~(right & seen)[kept],
    }
    return {(f"{name}-at-{point}", None): np.mean(part) for name, part in shares.items() if len(part)}


def targets(truth, probabilities, classes):
    """Name, score, whether a sample is of it and whether it counts, for each class and group."""
    seen = np.isin(truth, classes)
    for place, name in enumerate(classes):
        yield name, probabilities[:, place], truth == name, seen
    for name, members in GROUPS.items():
        score = sum(probabilities[:, classes.index(member)] for member in members if member in classes)
        of_group = np.isin(truth, members)
        yield name, score, of_group, seen | of_group


def fixed_thresholds(truth, probabilities, classes):
    """For each target and fixed rate the threshold, by the curve of these samples."""
    chosen = {}
    for name, score, of_it, counts in targets(truth, probabilities, classes):
        false, true, falling = metrics.roc_curve(of_it[counts], score[counts], drop_intermediate=False)
        for rate, level in FIXED:
            if rate == "specificity":
                at = np.flatnonzero(np.round(1 - false, 12) >= level)[-1]
            else:
                at = np.flatnonzero(np.round(true, 12) >= level)[0]
            chosen[(name, rate, level)] = falling[at]
    return chosen


def of_targets(truth, probabilities, classes, chosen):
    figures = {}
    for name, score, of_it, counts in targets(truth, probabilities, classes):
        of_it, score = of_it[counts], score[counts]
        if name in GROUPS and 0 < of_it.sum() < len(of_it):
            figures[("auroc", name)] = metrics.roc_auc_score(of_it, score)
        if name in GROUPS and of_it.any():
            figures[("average-precision", name)] = metrics.average_precision_score(of_it, score)
        for rate, level in FIXED:
            called, point = score >= chosen[(name, rate, level)], f"{rate}-{level}"
            if of_it.any():
                figures[(f"sensitivity-at-{point}", name)] = metrics.recall_score(of_it, called)
            if not of_it.all():
                figures[(f"specificity-at-{point}", name)] = metrics.recall_score(~of_it, ~called)
            if of_it.any() and not of_it.all():
                ratios = metrics.class_likelihood_ratios(of_it, called)
                for figure, value in zip(["positive", "negative"], ratios):
                    if np.isfinite(value):
                        figures[(f"{figure}-likelihood-ratio-at-{point}", name)] = value
    return figures


def net_benefits(truth, probabilities, classes):
    """Of acting on the prediction and of acting on all (Vickers and Elkin 2006)."""
    for name, score, of_it, counts in targets(truth, probabilities, classes):
        of_it, score = of_it[counts], score[counts]
        for threshold in np.linspace(0.05, 0.95, 19):
            called, odds = score >= threshold, threshold / (1 - threshold)
            value = np.mean(called & of_it) - np.mean(called & ~of_it) * odds
            treat_all = np.mean(of_it) - np.mean(~of_it) * odds
            yield {"class": name, "threshold": threshold, "net_benefit": value, "treat_all": treat_all}


def figures_of(rows, truth, probabilities, energy, classes, thresholds, chosen):
    """All figures of the rows `rows`."""
    truth, probabilities, energy = truth[rows], probabilities[rows], energy[rows]
    seen = np.isin(truth, classes)
    predicted = np.array(classes)[probabilities.argmax(axis=1)]
    confidence, right = probabilities.max(axis=1), truth == predicted
    figures = {("coverage", None): seen.mean()}
    figures |= of_labels(truth[seen], predicted[seen], classes)
    figures |= of_probabilities(truth[seen], probabilities[seen], classes)
    figures |= calibration(confidence[seen], right[seen])
    figures |= risk_coverage(confidence[seen], right[seen])
    figures |= of_targets(truth, probabilities, classes, chosen)
    figures |= of_unseen(seen, confidence, "probability")
    figures |= of_unseen(seen, -energy, "energy")
    if not seen.all():
        figures[("mean-probability-of-seen", None)] = confidence[seen].mean()
        figures[("mean-probability-of-unseen", None)] = confidence[~seen].mean()
    figures |= rejection(energy <= thresholds["cautious"], seen, right, "cautious")
    figures |= rejection(confidence >= thresholds["fixed"], seen, right, "fixed")
    return figures


def intervals(rows, patients, compute):
    """Ends of the percentile intervals of what `compute` gives, patients drawn together."""
    draw = np.random.default_rng(5)
    names = sorted(set(patients[rows]))
    of_patient = [rows[patients[rows] == name] for name in names]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([of_patient[at] for at in draw.integers(len(names), size=len(names))])
        values.append(compute(drawn))
    tail = (1 - LEVEL) / 2
    return np.quantile(np.array(values), [tail, 1 - tail], axis=0)


def main():
    warnings.filterwarnings("ignore", category=UserWarning)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table, classes, probabilities, energy = read(arguments.predictions)
    truth = table["label"].to_numpy(dtype=str)
    fold, patients = table["fold"].to_numpy(dtype=str), table["patient"].to_numpy(dtype=str)
    test = np.flatnonzero(fold == "test")
    chosen_on = np.sort(energy[(fold == "valid") & np.isin(truth, classes)])
    thresholds = {"cautious": chosen_on[int(np.ceil(0.95 * len(chosen_on))) - 1], "fixed": 0.4}
    valid = np.flatnonzero(fold == "valid")
    chosen = fixed_thresholds(truth[valid], probabilities[valid], classes)
    given = (truth, probabilities, energy, classes, thresholds, chosen)
    figures = {(*key, None): value for key, value in figures_of(test, *given).items()}
    age, tone = table["age"].to_numpy(dtype=float), table["fitzpatrick"].to_numpy(dtype=str)
    slices = {f"fitzpatrick: {value or 'missing'}": tone == value for value in sorted(set(tone))}
    slices |= {"age: below 40": age < 40, "age: 40 to below 65": (age >= 40) & (age < 65), "age: 65 or more": age >= 65}
    for name, inside in slices.items():
        rows = np.flatnonzero((fold == "test") & inside)
        if len(rows) >= MIN_SAMPLES:
            figures |= {(*key, name): value for key, value in figures_of(rows, *given).items()}

    def compared(rows):
        seen = rows[np.isin(truth[rows], classes)]
        predicted = np.array(classes)[probabilities[seen].argmax(axis=1)]
        areas = of_probabilities(truth[seen], probabilities[seen], classes)
        return [
            metrics.accuracy_score(truth[seen], predicted),
            metrics.balanced_accuracy_score(truth[seen], predicted),
            areas[("macro-auroc", None)],
        ]

    low, high = intervals(test, patients, compared)
    document = {
        "by": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}",
        "figures": [
            {"name": name, "class": one, "slice": piece, "value": float(value)}
            for (name, one, piece), value in figures.items()
        ],
        "intervals": [
            {"name": name, "low": float(low[at]), "high": float(high[at])}
            for at, name in enumerate(["accuracy", "balanced-accuracy", "macro-auroc"])
        ],
        "thresholds": {name: float(value) for name, value in thresholds.items()},
        "fixed_rates": [
            {"class": name, "fixed": rate, "level": level, "threshold": float(value)}
            for (name, rate, level), value in chosen.items()
        ],
        "net_benefits": [
            {key: value if isinstance(value, str) else float(value) for key, value in row.items()}
            for row in net_benefits(truth[test], probabilities[test], classes)
        ],
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
