"""The many ways to ask for the same: released schemas as they are, as a site without a prompt file would ask, and in other words."""

import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from eval.cases import Case
from eval.gold import book, form, under
from extractor.engine.base import Chat, EngineInfo
from extractor.form import Form, Group, Leaf, Members
from extractor.prompt import Layout, PromptBook
from extractor.store import entry

REPORTS = ("cmr-report@1", "cmr-report@2")
DIAGNOSIS_ALONE = ("cmr-diagnosis@1", "cmr-diagnosis@2", "cmr-diagnosis@3")
WAYS = ("as it is", "plain", "reworded")
AT_FIRST, LATER = (0.5, 0.15, 0.35), (0.8, 0.05, 0.15)
"""How often it is asked in each of the `WAYS`: first to read labels instead of recalling them, then as it will be asked most."""
BLOCK = 32
"""vLLM's KV block on a CPU, to which prompts are padded."""
FALLBACKS = ("normal", "other", "indeterminate")
"""Diagnoses that every asking keeps; a disease that is not offered is `other`."""


class Encoder:
    """An engine that only counts: what `Layout` needs to lay prompts out."""

    def __init__(self, folder: Path, model: str) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        known = entry(model)
        self.info = EngineInfo(
            model=model, weights_sha256=None, precision="int8", adapter=None, engine="training",
            context_length=known.context_used, block_size=BLOCK, chat=Chat(**known.template.model_dump()),
        )  # fmt: skip

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))


@dataclass(frozen=True)
class Asking:
    """One way to ask: a form, its prompt, and the gold of a case in its labels."""

    form: Form
    layout: Layout
    terms: Mapping[str, Sequence[str]]
    gold: Callable[[Case], Mapping[str, Any]]


def released(ref: str, engine: Any) -> Asking:
    """Ask as reading does."""
    known, prompts = form(ref), book(ref)
    return Asking(
        known,
        Layout(engine, known, prompts, "choice"),
        prompts.terms(known),
        lambda c: under(c.values(), ref),
    )


def varied(
    engine: Any,
    dice: random.Random,
    held_out: Sequence[str] = (),
    shares: Sequence[float] = AT_FIRST,
    alone: float = 0.5,
) -> Asking:
    """Ask as reading does, by the schema's own names alone, or in other words and another order: `shares` of the `WAYS`.

    `held_out` are diagnoses that are never offered; the reports that have them answer `other`. `alone` is how often nothing
    but the diagnosis is asked, which takes half the time.
    """
    ref = dice.choice(DIAGNOSIS_ALONE if dice.random() < alone else REPORTS)
    how = dice.choices(WAYS, shares)[0]
    if how == "as it is" and not held_out:
        return released(ref, engine)
    known, prompts = form(ref), book(ref)
    terms = prompts.terms(known)
    if how == "plain":
        prompts = PromptBook(prompts.base, {}, prompts.ref)
    elif how == "reworded":
        prompts = _other_words(prompts, known, dice)
    offered = _offered(known, dice, held_out) if how == "reworded" or held_out else None
    known = Form(known.model, _changed(known.root, _left_out(known, dice), offered, dice))
    return Asking(
        known, Layout(engine, known, prompts, "choice"), terms, lambda case: _gold(case, ref, offered)
    )


def _gold(case: Case, ref: str, offered: frozenset[str] | None) -> dict[str, Any]:
    values = under(case.values(), ref)
    for path in ("diagnosis", "primary"):
        if offered is not None and values.get(path, "other") not in offered:
            values[path] = "other"
    return values


def _offered(known: Form, dice: random.Random, held_out: Sequence[str]) -> frozenset[str]:
    """Some of the diagnoses, more often most than few."""
    labels = next(
        [o.label for o in leaf.options]
        for leaf in known.leaves()
        if isinstance(leaf, Leaf) and leaf.labels_of == "Diagnosis"
    )
    diseases = [label for label in labels if label not in (*FALLBACKS, *held_out)]
    size = min(len(diseases), max(2, round(len(diseases) * dice.uniform(0.3, 1.5))))
    kept = dice.sample(diseases, size)
    return frozenset((*kept, *FALLBACKS))


def _left_out(known: Form, dice: random.Random) -> frozenset[str]:
    """Some of the fields, as smaller schemas have fewer: no diagnosis, and none that others depend on."""
    leaves = list(known.leaves())
    needed = {leaf.gate.path for leaf in leaves if leaf.gate}
    free = [leaf.path for leaf in leaves if leaf.path not in needed and leaf.labels_of != "Diagnosis"]
    return frozenset(dice.sample(free, round(len(free) * dice.uniform(0, 0.7))))


def _changed(
    group: Group, left_out: frozenset[str], offered: frozenset[str] | None, dice: random.Random
) -> Group:
    children = (
        (
            name,
            _changed(node, left_out, offered, dice)
            if isinstance(node, Group)
            else _shuffled(node, offered, dice),
        )
        for name, node in group.children
        if node.path not in left_out
    )
    return replace(group, children=tuple(children))


def _shuffled(node: Leaf | Members, offered: frozenset[str] | None, dice: random.Random) -> Leaf | Members:
    if isinstance(node, Members) or node.kind != "category":
        return node
    options = [
        o for o in node.options if offered is None or node.labels_of != "Diagnosis" or o.label in offered
    ]
    *front, last = options  # `not_stated` stays last: a gate that is shut takes it
    dice.shuffle(front)
    return replace(node, options=(*front, last))


@cache
def _alternatives() -> dict[str, Any]:
    return tomllib.loads((files("training") / "words.toml").read_text("utf-8"))


def _other_words(prompts: PromptBook, known: Form, dice: random.Random) -> PromptBook:
    """The same book with other words for some labels and fields, and label meanings at times left out."""
    own = dict(prompts.own)
    chosen = _alternatives()["words"]
    own["words"] = {
        **own.get("words", {}),
        **{
            enum: {label: dice.choice(words) for label, words in labels.items()}
            for enum, labels in chosen.items()
        },
    }
    if dice.random() < 0.4:
        own["labels"] = {}
    elif "Diagnosis" in own.get("labels", {}):
        # What `other` holds depends on what is offered beside it.
        own["labels"] = {
            **own["labels"],
            "Diagnosis": {k: v for k, v in own["labels"]["Diagnosis"].items() if k != "other"},
        }
    cues = _alternatives()["cues"]
    fields = {path: dict(entry) for path, entry in own.get("fields", {}).items()}
    for leaf in known.leaves():
        if leaf.path in cues:
            fields.setdefault(leaf.path, {})["cue"] = dice.choice(cues[leaf.path])
    own["fields"] = fields
    return PromptBook(prompts.base, own, prompts.ref)
