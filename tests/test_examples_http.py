"""Every command of examples/http.md is run as it stands, by a shell with the real curl against the real API."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from extractor.api.models import ExtractionList, ItemError
from extractor.result import Extraction
from schemas import lock, registry

PAGE = Path(__file__).parents[1] / "examples" / "http.md"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))

pytestmark = pytest.mark.engine


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


def ready(printed: str) -> None:
    assert json.loads(printed) == {"status": "ready"}


def one_report(printed: str) -> None:
    result = Extraction.model_validate_json(printed)
    assert (result.id, result.schema_) == ("study-17", "cmr-report@1")
    assert "measurements.lvef" in result.fields


def several(printed: str) -> None:
    first, second, third = ExtractionList.model_validate_json(printed).results
    assert [first.id, second.id, third.id] == ["a", "b", "c"]
    assert isinstance(second, ItemError)
    assert second.error.field == "reports[1].text"


def older(printed: str) -> None:
    result = Extraction.model_validate_json(printed)
    assert result.schema_ == "cmr-diagnosis@2"
    registry.get("cmr-diagnosis@2").model.model_validate(result.data)


def schemas(printed: str) -> None:
    every, family, latest = map(json.loads, printed.replace("}{", "}\n{").splitlines())
    assert len(every["schemas"]) == len(registry.all_versions())
    assert {info["name"] for info in family["schemas"]} == {"cmr-diagnosis"}
    assert latest["ref"] == registry.get("cmr-diagnosis").ref


def json_schema(printed: str) -> None:
    assert printed == lock.text(registry.get("cmr-report@1"))


def distribution(printed: str) -> None:
    found = Extraction.model_validate_json(printed).fields["diagnosis"].distribution
    assert found
    assert sum(found.values()) == pytest.approx(1)


def fhir(printed: str) -> None:
    assert Bundle.model_validate_json(printed).entry
    assert "mid-wall septal" not in printed


def error(printed: str) -> None:
    (shown,) = blocks("Errors", "json")
    assert json.loads(printed) == json.loads(shown)


# What each section of the page must print.
PRINTS: dict[str, Callable[[str], None]] = {
    "Wait until it is ready": ready,
    "One report": one_report,
    "Several reports, one of them bad": several,
    "An older version of a schema": older,
    "Which schemas there are": schemas,
    "The JSON Schema of one": json_schema,
    "The probability of every option": distribution,
    "FHIR": fhir,
    "Errors": error,
}


@pytest.mark.parametrize("section", [name for name in SECTIONS if blocks(name, "sh")])
def test_the_commands_print_what_the_page_says(section, api_url):
    assert shutil.which("curl"), "curl is missing; install it: apt-get install curl"
    (commands,) = blocks(section, "sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("localhost:8000", api_url)],
        capture_output=True,
        check=False,
        env={**os.environ, "NO_PROXY": "*"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    PRINTS[section](done.stdout.decode())


def test_the_python_example_runs(api_url, capsys):
    (code,) = blocks("From Python", "python")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code.replace("http://localhost:8000", api_url), PAGE.name, "exec"), names)  # noqa: S102  our own page
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"a \w+ [\d.e-]+", first)
    assert second == "b report_empty reports[1].text"
