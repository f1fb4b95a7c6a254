"""What the server's answers mean: a result, or the one error that says why there is none."""

import re
from typing import TypeVar

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from extractor.api.models import ExtractionList, ItemError, Problem
from extractor.client.errors import (
    AnswerError,
    ClientError,
    ProblemError,
    ReportProblem,
    ServerUnreachableError,
)
from extractor.client.retry import Heard, retry_after
from extractor.result import Extraction

_PROBLEM = "urn:extractor:problem:"

Model = TypeVar("Model", bound=BaseModel)


def judge(heard: Heard) -> httpx.Response | ClientError:
    """Return the good answer that was heard, or what kept it from being one."""
    if isinstance(heard, httpx.TimeoutException):
        return ServerUnreachableError(
            "The server did not answer in time.",
            code="server_timeout",
            fix="Send fewer reports at a time, or give the client a longer timeout.",
        )
    if isinstance(heard, httpx.RequestError):
        return ServerUnreachableError(
            f"The server does not answer ({type(heard).__name__}).",
            code="server_unreachable",
            field="base_url",
            fix="Start it with extractor serve, and check host and port.",
        )
    if heard.status_code == httpx.codes.OK:
        return heard
    try:
        problem = Problem.model_validate_json(heard.content)
    except ValidationError:
        problem = None
    if problem is None or not problem.type.startswith(_PROBLEM):
        return not_ours(heard)
    return ProblemError(problem, retry_after=retry_after(heard))


def not_ours(answer: httpx.Response) -> AnswerError:
    return AnswerError(
        f"The server's answer ({answer.status_code}) is not one of this API.",
        status=answer.status_code,
        code="answer_unknown",
        fix="Check base_url, what stands between, and that the server is not older than the client.",
    )


def read_json(answer: httpx.Response) -> object:
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return None


def read_as(answer: httpx.Response, model: type[Model]) -> Model:
    """Return the answer as `model`, without what a newer server may say beside it."""
    try:
        return model.model_validate(read_json(answer), extra="ignore")
    except ValidationError:
        pass
    raise not_ours(answer)


def read_part(answer: httpx.Response, start: int, count: int) -> list[Extraction | ReportProblem]:
    """Return the results of a part that begins at the caller's report number `start`."""
    results = read_as(answer, ExtractionList).results
    if len(results) != count:
        raise not_ours(answer)
    return [
        ReportProblem(item.error, id=item.id, field=_moved(item.error.field, start))
        if isinstance(item, ItemError)
        else item
        for item in results
    ]


def _moved(field: str | None, start: int) -> str | None:
    """Return the server's `reports[2].text` as the caller counts."""
    return field and re.sub(r"^reports\[(\d+)\]", lambda found: f"reports[{int(found[1]) + start}]", field)


def too_large(error: ClientError, index: int, id_: str | None) -> ReportProblem:
    problem = Problem.model_validate(error.problem())
    return ReportProblem(problem, id=id_, field=f"reports[{index}].text")
