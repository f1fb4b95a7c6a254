"""What a report's wording says of its labels, and where: a second reader beside the model, linear, of milliseconds.

`wording.npz` lies beside the adapter; `training.wording` fits it on the adapter's training set. One classifier reads the words
and parts of words of the whole report for its diagnosis, another the words around a finding's terms for its status.
What they say is added to the model's log-probabilities at a fixed weight: a logarithmic opinion pool (Genest and
Zidek 1986, Statistical Science 1, section 3). A model that reads sense and a count of words err on different reports.
Evidence for what was answered is the sentence that says it by itself and is worded as evidence is: the model is not asked.
"""

import hashlib
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from extractor.errors import StoreError
from extractor.folding import fold
from extractor.plan import Plan, best
from extractor.store import default_id, entry
from extractor.terms import compiled, spoken

FILE: Final = "wording.npz"
REPORT: Final = "diagnosis"
"""The classifier that reads whole reports; every other one reads what stands around a finding's terms."""
PROOF: Final = {True: "report evidence", False: "finding evidence"}
"""The classifiers that know how a sentence is worded that a reader would quote: of a whole report's field, of a finding."""
QUOTED: Final = "quoted"
"""Their class of such sentences."""
FLOOR: Final = 1e-4
"""The least chance that wording may give: no word rules a label out."""

_WORD: Final = re.compile(r"\w\w+")
_TOKEN: Final = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?|[%?<>≥≤;:(),.]")
_PIECES: Final = (3, 4, 5)  # characters of a part of a word, where it begins or ends with a space
_AROUND: Final = 12  # words before and behind a term
_CLOSE: Final = 3  # of which those have their place told


def of_report(text: str) -> set[str]:
    """Name what a whole text holds: its words, pairs of them, and the parts of each."""
    lower = fold(text).lower
    words = _WORD.findall(lower)
    pieces = {
        padded[i : i + size]
        for padded in (f" {word} " for word in set(lower.split()))
        for size in _PIECES
        for i in range(len(padded) - size + 1)
    }
    return pieces | {f"={word}" for word in words} | set(_runs(words, 2, "="))


def of_finding(path: str, terms: Sequence[str], sentences: Sequence[str]) -> set[str]:
    """Name the words around each mention of a finding in the sentences that speak of it, alone and with the finding's
    own name, and how many they are.
    """
    name = path.rpartition(".")[2]
    finder = compiled(((path, tuple(terms)),))
    found = {name, f"#{min(len(sentences), 4)}"}
    for text in map(spoken, sentences):
        for mention in finder.find(text, []):
            before = _tokens(text[: mention.start])[-_AROUND:]
            behind = _tokens(text[mention.end :])[:_AROUND]
            around = [*before, "@", *behind]
            either = {f"<{word}" for word in before} | {f">{word}" for word in behind}
            either |= {"@" + " ".join(_tokens(text[mention.start : mention.end])), *_runs(around, 2)}
            found |= either | {f"{name} {one}" for one in either} | set(_runs(around, 3))
            found |= {f"<{place}{word}" for place, word in enumerate(before[: -_CLOSE - 1 : -1])}
            found |= {f">{place}{word}" for place, word in enumerate(behind[:_CLOSE])}
    return found


def _runs(words: Sequence[str], size: int, mark: str = "") -> Iterator[str]:
    return (mark + " ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def _tokens(text: str) -> list[str]:
    """Words and signs; one number is like another."""
    return ["0" if token[0].isdigit() else token for token in _TOKEN.findall(text)]


@dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression over features that are there or not, scaled to length 1.

    `weights` is (features, classes), in the order of `columns`; `bias` is (classes,).
    """

    classes: tuple[str, ...]
    columns: Mapping[str, int]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def chances(self, features: Iterable[str]) -> dict[str, float]:
        """Return the probability of each class."""
        known = sorted(self.columns[one] for one in features if one in self.columns)
        logits = self.bias + self.weights[known].sum(axis=0) / math.sqrt(max(len(known), 1))
        powers = np.exp(logits - logits.max())
        return dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))


@dataclass(frozen=True)
class Asked:
    """Which classifier speaks of a field, and the classes that each of the field's labels stands for."""

    by: str
    labels: Mapping[str, Sequence[str]]

    @property
    def whole(self) -> bool:
        """Whether all of a report counts, and not only what speaks of the field."""
        return self.by == REPORT

    def features(self, path: str, terms: Sequence[str], sentences: Sequence[str]) -> set[str]:
        """Name what the classifier counts in these sentences."""
        return of_report(" ".join(sentences)) if self.whole else of_finding(path, terms, sentences)

    def chances(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return the chance of each label, from those of the classes."""
        return {label: math.fsum(own[one] for one in classes) for label, classes in self.labels.items()}


@dataclass(frozen=True)
class Wording:
    """Classifiers by name, the fields that they speak of by schema, and the weight of what they say beside the model.

    `name` is that of the set they were fitted on and the file's hash, short.
    """

    name: str
    weight: float
    classifiers: Mapping[str, Linear]
    asked: Mapping[str, Mapping[str, Asked]]

    def __str__(self) -> str:
        return self.name

    def chances(
        self, ref: str, plan: Plan, terms: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, float]]:
        """Return, for each open question that wording speaks of, the chance of each label, at least `FLOOR`."""
        found = {}
        for path, asked, sources in self._open(ref, plan):
            sentences = [plan.sentences[i].text for i in sources]
            features = asked.features(path, terms.get(path, ()), sentences)
            own = asked.chances(self.classifiers[asked.by].chances(features))
            found[path] = {label: max(FLOOR, chance) for label, chance in own.items()}
        return found

    def shifts(self, ref: str, plan: Plan, terms: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
        """Return, by path and label, what to add to the model's log-probabilities."""
        return {
            path: {label: self.weight * math.log(chance) for label, chance in own.items()}
            for path, own in self.chances(ref, plan, terms).items()
        }

    def evidence(self, ref: str, plan: Plan, terms: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """Return, by path and label, which of the plan's sentences is evidence for the label, where that was learnt."""
        found = {}
        for path, asked, sources in self._open(ref, plan):
            proof = self.classifiers.get(PROOF[asked.whole])
            if proof is None:
                continue
            said = [asked.features(path, terms.get(path, ()), [plan.sentences[i].text]) for i in sources]
            quoted = [proof.chances(features)[QUOTED] for features in said]
            own = [asked.chances(self.classifiers[asked.by].chances(features)) for features in said]
            found[path] = {
                label: sources[best([p * q[label] for p, q in zip(quoted, own, strict=True)])]
                for label in asked.labels
            }
        return found

    def _open(self, ref: str, plan: Plan) -> Iterator[tuple[str, Asked, Sequence[int]]]:
        """Yield what wording speaks of, with the sentences that count: all, or those that speak of the finding, if any do."""
        for question in plan.questions:
            asked = self.asked.get(ref, {}).get(question.path)
            if asked and len(question.options) > 1:
                every = range(len(plan.sentences))
                sources = every if asked.whole else plan.spoken_of.get(question.path, ())
                if sources:
                    yield question.path, asked, sources


def save(folder: Path, about: Mapping[str, Any], classifiers: Mapping[str, Linear]) -> None:
    """Write `wording.npz`. `about` holds `set`, `weight` and `asked`, as `load` reads them."""
    arrays: dict[str, Any] = {}
    said = dict(about) | {"classes": {name: one.classes for name, one in classifiers.items()}}
    arrays["about"] = _bytes(json.dumps(said))
    for name, one in classifiers.items():
        arrays[f"{name}.features"] = _bytes("\n".join(one.columns))
        arrays[f"{name}.weights"] = one.weights.astype(np.float16)
        arrays[f"{name}.bias"] = one.bias
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / FILE, **arrays)


def load(folder: Path) -> Wording | None:
    """Read a folder's `wording.npz`; None where there is none. Raises `StoreError` where it is damaged."""
    try:
        return _read((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or type(error).__name__
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = type(error).__name__
    raise StoreError(
        f"{folder.name}/{FILE} cannot be read ({why}).",
        code="wording_unusable",
        fix="Restore it, or fit it again: python -m training wording",
    )


def _read(stored: bytes) -> Wording:
    with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        classifiers = {
            name: Linear(
                tuple(classes),
                {one: i for i, one in enumerate(arrays[f"{name}.features"].tobytes().decode().split("\n"))},
                arrays[f"{name}.weights"].astype(np.float32),
                arrays[f"{name}.bias"],
            )
            for name, classes in about["classes"].items()
        }
    asked = {
        ref: {path: Asked(one["by"], one["labels"]) for path, one in fields.items()}
        for ref, fields in about["asked"].items()
    }
    name = f"{about['set']} sha256:{hashlib.sha256(stored).hexdigest()[:12]}"
    return Wording(name, about["weight"], classifiers, asked)


def find_wording(model: str | None) -> Wording | None:
    """Return the wording of a model as `open_engine` names it: an id, a folder, or the default one.

    Raises:
        NotFoundError: the manifest has no such model.
        StoreError: the file is damaged.
    """
    if model is not None and Path(model).is_dir():
        return load(Path(model))
    known = entry(model or default_id())
    return load(known.adapter.path) if known.adapter else None


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
