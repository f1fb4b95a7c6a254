"""Everything that can go wrong between a client and its server.

    ExtractorError
    └── ClientError
        ├── ServerUnreachableError   no answer: refused, cut off, too slow
        ├── AnswerError              an answer that is not this API's: a proxy's page, another server
        └── ProblemError             the API's own answer that it cannot (RFC 9457)
            └── ReportProblem          of one report in a list; returned in its place, not raised

What is wrong with the call itself (a text that is no string) is a `RequestError`, before anything is sent.
None of these holds report text, and the API's problems hold nothing that the caller sent.
"""

from extractor.api.models import Problem
from extractor.errors import ExtractorError


class ClientError(ExtractorError):
    title = "No result from the server"


class ServerUnreachableError(ClientError):
    status = 503
    title = "Server unreachable"


class AnswerError(ClientError):
    """The server answered something that is not this API's. `status` is the HTTP status it answered with."""

    title = "Answer not understood"

    def __init__(self, detail: str, *, status: int, code: str, fix: str) -> None:
        super().__init__(detail, code=code, fix=fix)
        self.status = status


class ProblemError(ClientError):
    """The API's problem: `status`, `code`, `title`, `detail`, `field` and `fix` as RFC 9457 has them.

    `retry_after` is in seconds, where the server said when to come back.
    """

    def __init__(
        self, problem: Problem, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(problem.detail, code=problem.code, field=field or problem.field, fix=problem.fix)
        self.status = problem.status
        self.title = problem.title
        self.retry_after = retry_after


class ReportProblem(ProblemError):  # noqa: N818, it stands among results and reads as one
    """Why one report of a list has no result. `id` is the caller's own, and not part of the message."""

    def __init__(self, problem: Problem, *, id: str | None, field: str | None = None) -> None:  # noqa: A002
        super().__init__(problem, field=field)
        self.id = id


class SchemaDeprecatedWarning(FutureWarning):
    """The schema version that was asked for is deprecated: it still answers, and another is to be used."""
