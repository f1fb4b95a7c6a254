"""A typed client of the HTTP API, for programs that read reports with a server: no model library is imported.

    from extractor.client import Client

    with Client("http://gpu-box:8000") as client:
        client.wait_ready()
        result = client.extract("LVEF 31 %. Linear mid-wall septal LGE.", schema="cmr-report@1")
        print(result.data["measurements"]["lvef"], result.fields["measurements.lvef"].probability)

`AsyncClient` is the same with `async with` and `await`. `result.data` is plain JSON; where the schema's
model is at hand, `CmrReportV1.model_validate(result.data)` makes it typed.
"""

from extractor.client.clients import AsyncClient, Client
from extractor.client.errors import (
    AnswerError,
    ClientError,
    ProblemError,
    ReportProblem,
    SchemaDeprecatedWarning,
    ServerUnreachableError,
)
from extractor.client.talk import Options

__all__ = [
    "AnswerError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Options",
    "ProblemError",
    "ReportProblem",
    "SchemaDeprecatedWarning",
    "ServerUnreachableError",
]
