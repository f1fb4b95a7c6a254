"""What is scored: anything that answers a schema's fields for a text. Language models here, baselines beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from eval.answers import Given
from eval.gold import form
from eval.makers import language_model
from extractor.errors import EngineError, ExtractorError
from extractor.form import Kind, Leaf
from extractor.pipeline import Extractor, Job
from extractor.result import Decode, Extraction, FieldResult, Usage

Kinds = Literal["model", "baseline", "reader"]

NO_WORK = Usage(prompt_tokens=0, cached_tokens=0, output_tokens=0, parts=1)


@dataclass(frozen=True)
class Outcome:
    """A report's answers by path. A path that is missing was not attempted, unless `error` names what failed."""

    answers: Mapping[str, Given] = field(default_factory=dict)
    error: str | None = None
    usage: Usage = NO_WORK


class System(Protocol):
    """`batch` is how many texts are answered at a time."""

    kind: ClassVar[Kinds]
    batch: ClassVar[int]

    @property
    def name(self) -> str: ...

    @property
    def decode(self) -> str | None: ...

    @property
    def maker(self) -> dict[str, Any]:
        """Everything that the answers depend on, beside the text, as JSON data."""
        ...

    def answer(self, texts: Sequence[str]) -> list[Outcome]: ...


class LanguageModel:
    """A model through the pipeline, as the command line and the API use it."""

    kind: ClassVar[Kinds] = "model"
    batch: ClassVar[int] = 8

    def __init__(self, extractor: Extractor, schema: str, decode: Decode) -> None:
        self._extractor = extractor
        self._schema = schema
        self.decode: Decode = decode
        self.name = f"{extractor.info.model} {decode}"
        beside = {
            "wording": extractor.heard(schema, decode),
            "calibration": extractor.calibration(schema, decode),
        }
        self.maker = language_model(extractor.info, schema, decode) | {
            name: str(one) if one else None for name, one in beside.items()
        }

    def answer(self, texts: Sequence[str]) -> list[Outcome]:
        jobs = [Job(text, self._schema, self.decode, distribution=True) for text in texts]
        return [self._outcome(result) for result in self._extractor.extract(jobs)]

    def _outcome(self, result: Extraction | ExtractorError) -> Outcome:
        if isinstance(result, EngineError) and not result.code.startswith("decode_"):
            raise result  # the engine failed, not the report: it is to be asked again
        if isinstance(result, ExtractorError):
            return Outcome(error=result.code)
        kinds = {leaf.path: leaf.kind for leaf in form(self._schema).leaves() if isinstance(leaf, Leaf)}
        answers = {path: _given(one, kinds.get(path)) for path, one in result.fields.items()}
        return Outcome(answers, usage=result.usage)


def _given(one: FieldResult, kind: Kind | None) -> Given:
    """Keep labels, numbers and offsets only: a measurement's options are pieces of the report."""
    value = one.value
    if isinstance(value, dict):
        value = value.get("value", (one.value["start"], one.value["end"]))
    return Given(
        value=value,
        probability=one.probability,
        status=one.status,
        evidence=(one.evidence.start, one.evidence.end) if one.evidence else None,
        distribution=one.distribution if kind == "category" else None,
    )
