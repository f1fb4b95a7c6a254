"""The same language model writing freely: no grammar, no closed options. What it gets wrong, the grammar is worth."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from eval.answers import FAILED, Given
from eval.gold import book, form
from eval.makers import language_model
from eval.systems import Kinds, Outcome
from extractor.engine.local import LocalEngine
from extractor.errors import EngineError
from extractor.form import Leaf, Members
from extractor.grammar import compile_grammar
from extractor.plan import bind
from extractor.prompt import neutral, system_text
from extractor.report import Report
from extractor.result import Usage
from extractor.units import canonical, convert
from schemas.fields import NOT_STATED

AROUND = 256
"""Tokens for what a model writes around its object, beyond the object's own length: more is an answer that never ends."""
PROMPT = """

Answer with one JSON object and nothing else. Its keys are the field names as written above, all of them. A number is
written with its unit, as the report prints it; what the report does not say is "not_stated"; several labels are a list."""

_NUMBER = re.compile(r"\s*[<>~≈≤≥]?\s*([0-9]+(?:[.,][0-9]+)?)\s*(.*)", re.DOTALL)


class FreeRunning:
    """The engine's model asked in words, with the prompt of `grammar` decoding.

    Generous where a person would be: code fences, text around the object, nested objects, upper case and decimal
    commas are read. What is still no label or number of the field has failed, and so has all of an answer without
    a JSON object.
    """

    kind: ClassVar[Kinds] = "baseline"
    decode: str | None = "free"
    batch: ClassVar[int] = 8

    def __init__(self, engine: LocalEngine, schema: str, *, max_tokens: int | None = None) -> None:
        self._engine = engine
        self._form = form(schema)
        # A byte of JSON is a token at most.
        self._max_tokens = (
            max_tokens or AROUND + compile_grammar(bind(self._form, Report.parse("-"), {})).longest
        )
        self._system = system_text(self._form, book(schema), "grammar") + PROMPT
        self.name = f"{engine.info.model} free"
        self.maker: dict[str, Any] = language_model(engine.info, schema, "free") | {
            "asked": PROMPT,
            "tokens": self._max_tokens,
        }

    def answer(self, texts: Sequence[str]) -> list[Outcome]:
        from vllm import SamplingParams

        info = self._engine.info
        head = (
            info.chat.system_prefix
            + self._system
            + info.chat.system_suffix
            + info.chat.user_prefix
            + "Report:\n"
        )
        close = info.chat.user_suffix + info.chat.assistant_prefix
        prompts = [self._engine.encode(head + neutral(text) + close) for text in texts]
        asked = {
            index: SamplingParams(
                max_tokens=min(self._max_tokens, info.context_length - len(prompt)), temperature=0
            )
            for index, prompt in enumerate(prompts)
            if len(prompt) < info.context_length
        }
        try:
            written = self._engine.llm.generate(
                [{"prompt_token_ids": prompts[index]} for index in asked],
                list(asked.values()),
                use_tqdm=False,
            )
        except (ValueError, RuntimeError) as error:
            # vLLM's message may quote the prompt: only its type may leave.
            raise EngineError(f"vLLM failed ({type(error).__name__}).", code="engine_failed") from None
        outputs = dict(zip(asked, written, strict=True))
        return [
            self._outcome(outputs[index]) if index in outputs else Outcome(error="report_too_long")
            for index in range(len(texts))
        ]

    def _outcome(self, output: Any) -> Outcome:
        usage = Usage(
            prompt_tokens=len(output.prompt_token_ids),
            cached_tokens=output.num_cached_tokens or 0,
            output_tokens=len(output.outputs[0].token_ids),
            parts=1,
        )
        written = parse(output.outputs[0].text)
        if written is None:
            return Outcome(error="not_json", usage=usage)
        return Outcome(
            {leaf.path: Given(value=read(leaf, written)) for leaf in self._form.leaves()}, usage=usage
        )


def parse(text: str) -> dict[str, Any] | None:
    """Return the first JSON object of a text that holds anything, its keys dotted; None where there is none."""
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            found, _ = decoder.raw_decode(text, start)
        except ValueError:
            continue
        if found:
            return dict(_flat(found, ""))
    return None


def _flat(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        below = f"{path}.{name}" if path else name
        if isinstance(value, dict) and "value" not in value:
            yield from _flat(value, below)
        else:
            yield below, value


def read(leaf: Leaf | Members, written: dict[str, Any]) -> Any:
    """Read one field as its label, list or number in its unit; `FAILED` where it is none."""
    value = written.get(leaf.path, FAILED)
    if isinstance(leaf, Members):
        labels = {option.label for option in leaf.labels}
        items = [] if value in (None, NOT_STATED) else value if isinstance(value, list) else [value]
        names = [_label(item) for item in items]
        return names if set(names) <= labels else FAILED
    if leaf.kind == "quantity":
        return _number(leaf, value)
    by_label = {option.label.casefold(): option.value for option in leaf.options}
    return by_label.get(_label(value), FAILED)


def _label(value: Any) -> str:
    return str(value).strip().casefold().replace(" ", "_")


def _number(leaf: Leaf, value: Any) -> Any:
    if isinstance(value, dict):
        value = f"{value.get('value')} {value.get('unit') or ''}"
    if value is None or _label(value) == NOT_STATED:
        return NOT_STATED
    found = _NUMBER.fullmatch(str(value))
    if not found or not leaf.measure:
        return FAILED
    number = float(found[1].replace(",", "."))
    unit = canonical(found[2]) if found[2].strip() else leaf.measure.unit
    converted = convert(number, unit, leaf.measure.unit) if unit else number
    return number if converted is None else converted
