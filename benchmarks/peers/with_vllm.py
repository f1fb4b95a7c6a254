"""The peers on vLLM, and `choice`: one engine in this process, set up as `extractor` sets it up.

Reports of a burst are vLLM requests of their own, in its continuous batching, each timed to its own last token: what
`vllm serve` does with requests that arrive together. `choice` reads a burst as one batch, as `extractor serve` does.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, create_model

from benchmarks.peers.task import SCHEMA, WARM_UP, Answer, Message, Request, Task, Values, judged
from eval.answers import FAILED
from eval.cases import Case
from eval.free import PROMPT, parse, read
from extractor.engine.base import Chat
from extractor.engine.local import LocalEngine
from extractor.errors import ExtractorError
from extractor.form import Form, Leaf, Members
from extractor.pipeline import Extractor, Job, open_extractor
from extractor.result import Extraction
from extractor.store import locate

TRIES = 3


class Choice:
    """The pipeline itself. It also answers how probable each value is and which sentence says it; no peer does."""

    def __init__(self, model: str) -> None:
        self._extractor: Extractor = open_extractor(model)
        info = self._extractor.info
        self.weights = f"{info.model}, {info.precision}"

    def warm(self, case: Case) -> None:
        self._extractor.prepare(SCHEMA)
        self._extractor.extract([Job(case.text, SCHEMA)])

    def read(self, cases: Sequence[Case]) -> Iterator[Answer]:
        start = time.perf_counter()
        results = self._extractor.extract([Job(case.text, SCHEMA) for case in cases])
        took = time.perf_counter() - start
        for case, result in zip(cases, results, strict=True):
            valid = not isinstance(result, ExtractorError)
            yield Answer(case, took, _values(result), valid)


def _values(result: Extraction | ExtractorError) -> Values:
    if isinstance(result, ExtractorError):
        return {}
    values = {path: field.value for path, field in result.fields.items()}
    return {path: value.get("value") if isinstance(value, dict) else value for path, value in values.items()}


class Talk(ABC):
    """One report's exchange with the model: `hear` each text that it writes, until there is nothing more to ask."""

    def __init__(self, task: Task, case: Case) -> None:
        self.case = case
        self.request = task.request(case)
        self.valid = False
        self.values: Values = {}

    def messages(self) -> list[Message]:
        return self.request.messages

    @abstractmethod
    def hear(self, text: str) -> bool:
        """Judge a text. True if the talk is over."""


class Constrained(Talk):
    """One request, its answer held to the report's own JSON Schema."""

    def hear(self, text: str) -> bool:
        self.valid, self.values = judged(self.request.grammar, text)
        return True


class Retried(Talk):
    """Free text, validated by Pydantic; its errors are sent back with the text, as retry libraries do."""

    def __init__(self, task: Task, case: Case) -> None:
        super().__init__(task, case)
        self._form = task.form
        self._model = pydantic_model(task.form)
        self._left = TRIES
        system, user = self.request.messages
        self._messages = [{**system, "content": system["content"] + PROMPT}, user]

    def messages(self) -> list[Message]:
        return self._messages

    def hear(self, text: str) -> bool:
        self._left -= 1
        self.valid, self.values, wrong = validated(self._form, self._model, text)
        complaint = f"That is not valid:\n{wrong}\nAnswer with the whole JSON object again, corrected."
        self._messages += [{"role": "assistant", "content": text}, {"role": "user", "content": complaint}]
        return self.valid or not self._left


def pydantic_model(form: Form) -> type[BaseModel]:
    """A flat model of a form: labels are its labels, measurements a number with a unit as `eval.free` reads them."""
    fields: dict[str, Any] = {
        f"field_{number}": (Annotated[Any, PlainValidator(partial(_checked, leaf))], Field(alias=leaf.path))
        for number, leaf in enumerate(form.leaves())
    }
    settings = ConfigDict(extra="ignore", hide_input_in_errors=True)
    return create_model("Form", __config__=settings, **fields)


def _checked(leaf: Leaf | Members, value: Any) -> Any:
    found = read(leaf, {leaf.path: value})
    if found == FAILED:
        labels = leaf.labels if isinstance(leaf, Members) else leaf.options
        one_of = ", ".join(option.label for option in labels)
        number = isinstance(leaf, Leaf) and leaf.kind == "quantity"
        raise ValueError(
            "must be a number with its unit, or not_stated" if number else f"must be of: {one_of}"
        )
    return found


def validated(form: Form, model: type[BaseModel], text: str) -> tuple[bool, Values, str]:
    """Whether a text is valid, its values by path (those that can be read), and what is wrong, a field a line."""
    written = parse(text)
    if written is None:
        return False, {}, "There is no JSON object."
    try:
        return True, model.model_validate(written).model_dump(by_alias=True), ""
    except ValidationError as error:
        lines = (f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False))
        return False, {leaf.path: read(leaf, written) for leaf in form.leaves()}, "\n".join(lines)


class Vllm:
    """Any talk through vLLM. `structured` is vLLM's structured_outputs_config; `via` makes a request's parameters."""

    def __init__(
        self,
        task: Task,
        model: str,
        structured: Mapping[str, Any],
        talk: Callable[[Task, Case], Talk],
        via: Callable[[Any], Callable[[Any, Request], Any]],
    ) -> None:
        self._task = task
        self._talk = talk
        weights = locate(model)
        self.weights = f"{model}, {weights.precision}"
        engine = LocalEngine(
            weights.path,
            model=model,
            weights_sha256=weights.sha256,
            precision=weights.precision,
            chat=Chat(**weights.entry.template.model_dump()),
            context=weights.entry.context_used,
            adapter=weights.adapter,
            options={"structured_outputs_config": dict(structured)},
        )
        self._encode = engine.encode
        self._llm = engine.llm
        self._tokenizer = engine.llm.get_tokenizer()
        self._params = via(engine.llm)

    def warm(self, case: Case) -> None:
        talk = self._talk(self._task, case)
        self._send("warm-up", talk, WARM_UP)
        while self._llm.llm_engine.has_unfinished_requests():
            self._llm.llm_engine.step()

    def read(self, cases: Sequence[Case]) -> Iterator[Answer]:
        start = time.perf_counter()
        talks = {str(number): self._talk(self._task, case) for number, case in enumerate(cases)}
        tokens = dict.fromkeys(talks, 0)
        tries = dict.fromkeys(talks, 0)
        for key, talk in talks.items():
            self._send(key, talk, self._task.max_tokens)
        while self._llm.llm_engine.has_unfinished_requests():
            for output in self._llm.llm_engine.step():
                if not output.finished:
                    continue
                key, talk = output.request_id, talks[output.request_id]
                tokens[key] += len(output.outputs[0].token_ids)
                tries[key] += 1
                if talk.hear(output.outputs[0].text):
                    took = time.perf_counter() - start
                    yield Answer(talk.case, took, talk.values, talk.valid, tokens[key], tries[key])
                else:
                    self._send(key, talk, self._task.max_tokens)

    def _send(self, key: str, talk: Talk, max_tokens: int) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        text = self._tokenizer.apply_chat_template(
            talk.messages(), tokenize=False, add_generation_prompt=True
        )
        greedy = SamplingParams(
            max_tokens=max_tokens, temperature=0, output_kind=RequestOutputKind.FINAL_ONLY
        )
        prompt = {"prompt_token_ids": self._encode(text)}
        self._llm.llm_engine.add_request(key, prompt, self._params(greedy, talk.request))


def through_outlines(llm: Any) -> Callable[[Any, Request], Any]:
    """Parameters as `outlines.from_vllm_offline` makes them.

    Its own batch takes one schema for all reports; here each report has its own.
    """
    import outlines
    from outlines.types import JsonSchema

    model = outlines.from_vllm_offline(llm)
    return lambda greedy, request: model._build_generation_args(
        {"sampling_params": greedy}, JsonSchema(request.schema)
    )


def structured(_: Any) -> Callable[[Any, Request], Any]:
    """vLLM's own structured outputs."""
    from vllm.sampling_params import StructuredOutputsParams

    def held(greedy: Any, request: Request) -> Any:
        greedy.structured_outputs = StructuredOutputsParams(json=request.schema)
        return greedy

    return held


def free(_: Any) -> Callable[[Any, Request], Any]:
    """Nothing is held to anything."""
    return lambda greedy, _: greedy
