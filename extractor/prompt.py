"""Prompts as data, laid out so that reports share as much of the prefix cache as they can.

    [ instructions, questions, label meanings ][ report, one line a sentence ][ cue ]
      the same for every report of a schema      once a report                 once a question

The first two pieces are padded with line breaks to whole KV blocks, so that what follows costs its own tokens only.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from extractor.cutoffs import Cutoff
from extractor.engine.base import Engine
from extractor.errors import SchemaError
from extractor.form import Form, Leaf, Members, Option
from extractor.plan import Plan, Question, sentence_id
from extractor.report import Sentence
from extractor.result import Decode

BASE = "extract@1"
PADDED = 32
"""Prompts are padded to multiples of this many tokens, and of the engine's KV block: vLLM's blocks are 32 on a CPU and 16 on
a GPU, and a model is to read the same tokens on all engines, as it was calibrated.
"""
LINE = 400
"""Labels whose meanings take more characters than this are listed one a line."""


@dataclass(frozen=True)
class PromptBook:
    """What a schema's fields are called and mean: the shared instructions, and the schema's own file if it has one.

    A schema without a file is asked by its field names and `Field(description=…)`.
    """

    base: Mapping[str, Any]
    own: Mapping[str, Any]
    ref: str

    @classmethod
    def load(cls, schema: str, folder: Path | None = None) -> "PromptBook":
        """Load `{schema}.toml` from `folder` or the package's own prompts, and the shared instructions.

        A file that `extends` another adds to it, and replaces in it, key by key.
        Raises `SchemaError` where a file cannot be read, or extends one that does not exist.
        """
        base = tomllib.loads((files("prompts") / f"{BASE}.toml").read_text("utf-8"))
        own = read_prompt(schema, folder)
        return cls(base, own, f"{BASE} {schema}" if own else BASE)

    def terms(self, form: Form) -> dict[str, tuple[str, ...]]:
        """The words by which reports speak of a field (by its path), or of a label of a list (`path[label]`)."""
        found: dict[str, tuple[str, ...]] = {}
        for leaf in form.leaves():
            entry = self._fields.get(leaf.path, {})
            entry = self._fields.get(entry.get("like"), entry)
            found[leaf.path] = tuple(entry.get("terms", ()))
            if isinstance(leaf, Members):
                by_label = self.own.get("terms", {}).get(leaf.labels_of or "", {})
                found |= {leaf.member(label): tuple(by_label.get(label.label, ())) for label in leaf.labels}
        return found

    def cutoffs(self, form: Form) -> dict[str, tuple[Cutoff, ...]]:
        """What numbers rule out of a field's labels, by its path."""
        given = {leaf.path: self._fields.get(leaf.path, {}).get("cutoffs", ()) for leaf in form.leaves()}
        return {
            path: tuple(map(Cutoff.model_validate, several)) for path, several in given.items() if several
        }

    @property
    def _fields(self) -> Mapping[str, Any]:
        fields: Mapping[str, Any] = self.own.get("fields", {})
        return fields

    def cue(self, path: str, form: Form) -> str:
        """The short name by which a field is asked, unique in its schema."""
        given = self._fields.get(path, {}).get("cue")
        last = path.rpartition(".")[2]
        shared = sum(leaf.path.rpartition(".")[2] == last for leaf in form.leaves()) > 1
        return str(given or (path if shared else last).replace("_", " "))

    def meaning(self, path: str, form: Form) -> str:
        """What a field asks for; empty where the cue says it all."""
        return str(self._fields.get(path, {}).get("meaning", _description(form, path)))

    def word(self, leaf: Leaf | Members, label: str) -> str:
        """How a label is said to the model in `choice`: a code such as "dcm" is no word of a report."""
        return str(self.own.get("words", {}).get(leaf.labels_of or "", {}).get(label, label))

    def kinds(self, leaf: Leaf | Members, label: str) -> Mapping[str, str]:
        """What a label stands for in `choice`, word by word, with meanings; empty where it is asked as itself.

        A small model finds "myocarditis" in a report more easily than "none of these": a catch-all's probability is the
        sum of its kinds'. A kind that begins with the same word as a label is that label's, as where a site adds a category.
        """
        listed: Mapping[str, str] = self.own.get("kinds", {}).get(leaf.labels_of or "", {}).get(label, {})
        if not listed or isinstance(leaf, Members):
            return {}
        taken = {_first(self.word(leaf, option.label)) for option in leaf.options if option.label != label}
        return {word: meaning for word, meaning in listed.items() if _first(word) not in taken}

    def said(self, leaf: Leaf | Members, label: str) -> list[str]:
        """All that `choice` asks for a label: its kinds, or its word."""
        return list(self.kinds(leaf, label)) or [self.word(leaf, label)]

    def labels(self, leaf: Leaf | Members) -> Mapping[str, str]:
        """The meaning of each label: the field's own where given, else its enum's."""
        shared = self.own.get("labels", {}).get(leaf.labels_of or "", {})
        own = self._fields.get(leaf.path, {}).get("labels", {})
        return {**shared, **own}


def _first(said: str) -> str:
    return said.casefold().replace("_", " ").partition(" ")[0]


def read_prompt(schema: str, folder: Path | None = None) -> dict[str, Any]:
    """Return a schema's prompt file, with what it extends; empty where there is none.

    Raises `SchemaError`.
    """
    places: list[Traversable] = [*([folder] if folder else []), files("prompts")]
    path = next((place / f"{schema}.toml" for place in places if (place / f"{schema}.toml").is_file()), None)
    if path is None:
        return {}
    try:
        own = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(
            f"not TOML in UTF-8: {error}", code="prompt_invalid", field=path.name, fix="Correct the file."
        ) from None
    extended = own.pop("extends", None)
    if extended is None:
        return own
    below = {} if extended == schema else read_prompt(str(extended), folder)
    if not below:
        raise SchemaError(
            f"it extends {extended}, which has no prompt file",
            code="prompt_invalid",
            field=path.name,
            fix="Name an older version that has one.",
        )
    return _merged(below, own)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    return {
        key: _merged(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in both.items()
    }


def _description(form: Form, path: str) -> str:
    """The schema author's own `Field(description=…)`, found by walking the model."""
    model: Any = form.model
    info = None
    for name in path.split("."):
        info = model.model_fields[name]
        arms = [info.annotation, *getattr(info.annotation, "__args__", ())]
        model = next((arm for arm in arms if hasattr(arm, "model_fields")), model)
    return (info.description if info else None) or ""


def system_text(form: Form, book: PromptBook, decode: Decode) -> str:
    """Everything that is the same for all reports: instructions, then fields grouped by what may be answered."""
    groups: dict[str, list[Leaf | Members]] = {}
    for leaf in form.leaves():
        # Behind the report, "LVEF: " says enough, and each word here is read again with every report.
        if not (decode == "choice" and isinstance(leaf, Leaf) and leaf.kind == "quantity"):
            groups.setdefault(_answers(leaf, book, decode), []).append(leaf)
    pieces = [str(book.base["instructions"]).strip()]
    if decode == "grammar":
        pieces.append(str(book.base["grammar_instructions"]).strip())
    for answers, leaves in groups.items():
        names = [book.cue(leaf.path, form) if decode == "choice" else leaf.path for leaf in leaves]
        meanings = [book.meaning(leaf.path, form) for leaf in leaves]
        lines = [
            f"{name}: {meaning}".removesuffix(": ") for name, meaning in zip(names, meanings, strict=True)
        ]
        pieces.append("\n".join([f"{answers}:", *lines]))
    return "\n\n".join(pieces)


def _answers(leaf: Leaf | Members, book: PromptBook, decode: Decode) -> str:
    """What may be answered, as the heading of all fields that share it."""
    if isinstance(leaf, Leaf) and leaf.kind != "category":
        return str(book.base[f"{leaf.kind}_heading"])
    meanings = book.labels(leaf)
    told = []
    for option in _shown(leaf.labels if isinstance(leaf, Members) else leaf.options):
        if decode == "choice" and (kinds := book.kinds(leaf, option.label)):
            told += [f"{word} ({meaning})" for word, meaning in kinds.items()]
            continue
        word = book.word(leaf, option.label) if decode == "choice" else option.label
        told.append(f"{word} ({meanings[option.label]})" if option.label in meanings else word)
    long = sum(map(len, told)) > LINE
    heading = str(book.base["member_heading" if isinstance(leaf, Members) else "category_heading"])
    return heading.format(labels="\n" + "\n".join(told) if long else " " + ", ".join(told))


def _shown(options: Sequence[Option]) -> Sequence[Option]:
    """Long runs of integers are told by their ends."""
    if len(options) > 40 and all(isinstance(option.value, int) for option in options):
        return (options[0], Option("to", "to"), options[-1])
    return options


_SPECIAL = re.compile(r"<(?=[|/a-zA-Z_])|\[(?=/?(?:INST|SYS|TOOL))")


def neutral(text: str) -> str:
    """Break up anything that a tokenizer could take for a control token, so that a report cannot end its own turn.

    Only the prompt sees this; spans and evidence always quote the report itself.
    """
    return _SPECIAL.sub(lambda found: found.group() + " ", text)


class Layout:
    """Token ids of one schema's prompts on one engine."""

    def __init__(self, engine: Engine, form: Form, book: PromptBook, decode: Decode) -> None:
        self.engine = engine
        self.form = form
        self.book = book
        self.decode = decode
        self._encoded: dict[str, tuple[int, ...]] = {}
        self._block = math.lcm(PADDED, engine.info.block_size)
        chat = engine.info.chat
        head = chat.system_prefix + system_text(form, book, decode)
        start = chat.system_suffix + chat.user_prefix + str(book.base["report_heading"])
        self.prefix = self._padded((), head, start)
        cues = [len(self._encode(f"{book.cue(leaf.path, form)}: {BASE}")) for leaf in form.leaves()]
        self.margin = 2 * (max(cues) + self._block)

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._encoded:
            self._encoded[text] = tuple(self.engine.encode(text))
        return self._encoded[text]

    def _padded(self, before: tuple[int, ...], text: str, close: str) -> tuple[int, ...]:
        """Tokens of `before`, `text`, line breaks up to a whole KV block, and `close`."""
        body, end, pad = tuple(self.engine.encode(text)), self._encode(close), self._encode("\n")
        size = len(before) + len(body) + len(end)
        missing = -size % self._block if len(pad) == 1 else 0
        return before + body + pad * missing + end

    def cost(self, sentences: Sequence[Sentence]) -> list[int]:
        """Tokens that each sentence takes on its line at most; a letter of its id is at most one."""
        letters = len(sentence_id(0, len(sentences)))
        return [letters + len(self.engine.encode(f": {neutral(s.text)}\n")) for s in sentences]

    def open(self, plan: Plan) -> tuple[int, ...]:
        """The prompt up to where the model answers."""
        chat = self.engine.info.chat
        close = str(self.book.base["request"]) + chat.user_suffix + chat.assistant_prefix
        return self._padded(self.prefix, report_lines(plan.sentences), close)

    def cue(self, question: Question) -> tuple[int, ...]:
        return self._encode(str(self.book.base["cue_template"]).format(cue=self._name(question)))

    def _name(self, question: Question) -> str:
        path = question.leaf.path
        name = self.book.cue(path, self.form) if self.decode == "choice" else path
        label = question.path.removeprefix(path)[1:-1]
        if label and self.decode == "choice":
            label = self.book.word(question.leaf, label)
        return f"{name} {label}" if label else name

    def evidence(self, question: Question) -> tuple[int, ...]:
        return self._encode(str(self.book.base["evidence_template"]).format(cue=self._name(question)))

    def ways(self, question: Question, option: Option) -> list[tuple[int, ...]]:
        """An option as it continues a cue, in each of its kinds. A report's own numbers are not kept in memory."""
        if isinstance(option.value, dict):
            return [self.literal(f" {option.label}")]
        return [self._encode(f" {word}") for word in self.book.said(question.leaf, option.label)]

    def letter(self, index: int, count: int) -> tuple[int, ...]:
        """A sentence's id as it continues a cue for evidence."""
        return self._encode(f" {sentence_id(index, count)}")

    def literal(self, text: str) -> tuple[int, ...]:
        """Text as it continues other text."""
        return tuple(self.engine.encode(text))


def report_lines(sentences: Sequence[Sentence]) -> str:
    """The report, one line a sentence, each behind its letter."""
    count = len(sentences)
    return "\n".join(
        f"{sentence_id(i, count)}: {' '.join(neutral(s.text).split())}" for i, s in enumerate(sentences)
    )


def parts(sentences: Sequence[Sentence], cost: Sequence[int], room: int) -> Iterator[tuple[Sentence, ...]]:
    """Cut a report between sentences into parts of at most `room` tokens (`cost` is each sentence's)."""
    part: list[Sentence] = []
    used = 0
    for index, sentence in enumerate(sentences):
        if part and used + cost[index] > room:
            yield tuple(part)
            part, used = [], 0
        part.append(sentence)
        used += cost[index]
    yield tuple(part)
