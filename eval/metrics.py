"""Categories and lists: accuracy, precision, recall, F1, confusion. Point figures by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from eval.answers import FAILED
from eval.gold import form
from eval.intervals import Floats, interval, resampled, share_interval
from eval.scoring import Scored
from extractor.form import Leaf


def figure(value: float, bounds: tuple[float, float] | None, count: int) -> dict[str, Any]:
    """A figure, its 95 % interval and the number of rows behind it."""
    return {"value": float(value), "interval": list(bounds) if bounds else None, "n": count}


def share(rows: Sequence[Scored], right: Sequence[bool] | None = None) -> dict[str, Any] | None:
    """The share of rows that are right; None of no rows."""
    marks = [row.right for row in rows] if right is None else list(right)
    if not marks:
        return None
    bounds = share_interval(marks, [row.cluster for row in rows])
    return figure(sum(marks) / len(marks), bounds, len(marks))


def labels_of(rows: Sequence[Scored], ref: str) -> list[str]:
    """The labels that occur in gold or answers, in the schema's order. A failed answer is no label."""
    seen = {row.gold for row in rows} | {row.given.value for row in rows}
    order = [
        option.value
        for leaf in form(ref).leaves()
        if isinstance(leaf, Leaf) and leaf.path in {row.path for row in rows}
        for option in leaf.options
    ]
    return [label for label in dict.fromkeys(order) if label in seen]


def classification(rows: Sequence[Scored], ref: str) -> dict[str, Any]:
    """Everything about one field, or several that share their labels.

    Macro averages are over the labels that occur in gold or in answers, as scikit-learn's are. A failed answer is
    wrong and lowers its gold label's recall.
    """
    labels = labels_of(rows, ref)
    gold = [str(row.gold) for row in rows]
    given = [str(row.given.value) for row in rows]
    names = [str(label) for label in labels]
    settings: dict[str, Any] = {"labels": names, "zero_division": 0}
    each = precision_recall_fscore_support(gold, given, **settings)
    drawn = rates(resampled_confusion(rows, names))
    found: dict[str, Any] = {"accuracy": share(rows)}
    for average in ("macro", "weighted"):
        values = precision_recall_fscore_support(gold, given, average=average, **settings)[:3]
        for name, value in zip(("precision", "recall", "f1"), values, strict=True):
            key = f"{average}_{name}"
            found[key] = figure(value, interval(drawn[key]), len(rows))
    found["classes"] = [
        {
            "label": label,
            "precision": float(each[0][i]),
            "recall": float(each[1][i]),
            "f1": float(each[2][i]),
            "interval": interval(drawn["f1"][:, i]),
            "support": int(each[3][i]),
        }
        for i, label in enumerate(names)
    ]
    found["labels"] = names
    found["columns"] = [*names, FAILED] if FAILED in given else names
    found["confusion"] = _counts(rows, names).sum(0)[:, : len(found["columns"])].astype(int).tolist()
    return found


def resampled_confusion(rows: Sequence[Scored], labels: Sequence[str]) -> Floats:
    """Confusion counts of every draw, `[draws, gold, given]`; the last column is for failed answers."""
    return resampled(_counts(rows, labels), [row.cluster for row in rows])


def _counts(rows: Sequence[Scored], labels: Sequence[str]) -> Floats:
    """Each row's place in the confusion matrix, `[rows, gold, given]`."""
    index = {label: i for i, label in enumerate(labels)}
    size = len(labels)
    one_hot = np.zeros((len(rows), size, size + 1))
    for i, row in enumerate(rows):
        one_hot[i, index[str(row.gold)], index.get(str(row.given.value), size)] = 1
    return one_hot


def rates(confusion: Floats) -> dict[str, Floats]:
    """Averages of confusion counts `[…, gold, given + failed]`, as scikit-learn defines them, for many at once.

    A label that is in neither gold nor answers of a draw is not averaged over, as in that draw it does not exist.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support = confusion.sum(-1)
    answered = confusion.sum(-2)[..., :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "precision": np.nan_to_num(hits / answered),
            "recall": np.nan_to_num(hits / support),
            "f1": np.nan_to_num(2 * hits / (support + answered)),
        }
        there = (support + answered) > 0
        found = {"f1": np.where(there, values["f1"], np.nan), "accuracy": hits.sum(-1) / support.sum(-1)}
        for name, each in values.items():
            found[f"macro_{name}"] = (each * there).sum(-1) / there.sum(-1)
            found[f"weighted_{name}"] = (each * support).sum(-1) / support.sum(-1)
    return found


def lists(rows: Sequence[Scored]) -> dict[str, Any] | None:
    """Lists as sets: precision, recall and F1 over all members (micro), and the mean Jaccard index of a report.

    Two empty lists agree wholly. A failed answer has no members and agrees with nothing.
    """
    if not rows:
        return None
    counts, jaccard = [], []
    for row in rows:
        failed = row.given.value == FAILED
        gold, given = set(row.gold), set() if failed else set(row.given.value)
        counts.append([len(gold & given), len(given), len(gold)])
        jaccard.append(0.0 if failed else len(gold & given) / len(gold | given) if gold | given else 1.0)
    clusters = [row.cluster for row in rows]
    hits, answered, wanted = np.array(counts).sum(0)
    drawn = resampled(np.array(counts, dtype=float), clusters)
    mean = resampled(np.array([[one, 1.0] for one in jaccard]), clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * drawn[:, 0] / (drawn[:, 1] + drawn[:, 2])
    return {
        "exact": share(rows),
        "micro_precision": float(hits / answered) if answered else None,
        "micro_recall": float(hits / wanted) if wanted else None,
        "micro_f1": figure(2 * hits / (answered + wanted), interval(f1), len(rows))
        if answered + wanted
        else None,
        "jaccard": figure(float(np.mean(jaccard)), interval(mean[:, 0] / mean[:, 1]), len(rows)),
    }
