"""FHIR as its reader sees it: valid R4, nothing that the report did not say, no code that nobody checked."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import orjson
import pytest
from click.testing import CliRunner
from fhir.resources.R4B.bundle import Bundle
from litestar.testing import TestClient

import extractor.pipeline
from extractor import fhir
from extractor.api.accept import NotAcceptableError, wants_fhir
from extractor.api.app import Settings, create_app
from extractor.cli import main
from extractor.errors import ExtractorError, NotFoundError
from extractor.pipeline import Extractor
from extractor.result import Extraction, FieldResult, Provenance, Usage
from schemas import codes, registry
from schemas.fields import NOT_STATED, Evidence, Finding, Measure, Measured, Schema
from schemas.leaves import leaves

CANARY = "Xylocanary"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SCT, LOINC = codes.URLS["sct"], codes.URLS["loinc"]


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"text": f"{value} {CANARY}", "value": value, "unit": unit, "start": 10, "end": 14}


REPORT = {
    "diagnosis": "dcm",
    "certainty": "definite",
    "findings.lge": "present",
    "findings.lge_pattern": "mid_wall",
    "findings.lge_segments": ["basal_inferoseptal", "apex"],
    "findings.oedema": "absent",
    "findings.pericardial_effusion": "mild",
    "findings.thrombus": "uncertain",
    "measurements.lvef": quantity(31.0, "%"),
    "measurements.lvedvi": quantity(142.5, "mL/m2"),
    "previous.lvef": quantity(55.0, "%"),
    "previous.course": "worsened",
}


def read(values: dict[str, Any], ref: str = "cmr-report@2", id_: str | None = "study-17") -> Extraction:
    """A result that states `values` and nothing else; its evidence and quantities quote the canary."""
    evidence = Evidence(sentence=2, text=f"Mr {CANARY} has it.", start=40, end=60)
    silent = {path: [] if leaf.kind == "list" else NOT_STATED for path, leaf in _leaves(ref).items()}
    return Extraction(
        id=id_,
        schema=ref,
        data={"note": CANARY},
        fields={
            path: FieldResult(
                value=value,
                probability=0.875 if path in values else 1,
                status="answered" if path in values else "implied",
                evidence=evidence if path in values else None,
            )
            for path, value in (silent | values).items()
        },
        provenance=Provenance(
            extractor="0.1.0",
            schema=ref,
            prompt="cmr-report@1",
            decode="choice",
            model="tiny-random",
            weights_sha256="ab" * 32,
            precision="float32",
            adapter=None,
            engine="vllm 0.32",
        ),
        usage=Usage(prompt_tokens=9, cached_tokens=1, output_tokens=1, parts=1),
    )


def _leaves(ref: str) -> Any:
    known = {version.ref: version.model for version in registry.all_versions()}
    return leaves(known[ref]) if ref in known else {}


def written(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The resources by type, after a round through JSON and the FHIR models."""
    text = orjson.dumps(bundle)
    assert orjson.loads(Bundle.model_validate_json(text).model_dump_json()) == orjson.loads(text)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in orjson.loads(text)["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def observations(values: dict[str, Any], ref: str = "cmr-report@2") -> dict[str, dict[str, Any]]:
    made = written(fhir.diagnostic_report(read(values, ref), recorded=NOW))["Observation"]
    return {each["code"]["text"]: each for each in made}


def codings(node: Any) -> Iterator[tuple[str, str]]:
    match node:
        case {"system": system, "code": code}:
            yield system, code
        case dict():
            for below in node.values():
                yield from codings(below)
        case list():
            for below in node:
                yield from codings(below)


def test_every_stated_field_is_one_observation_and_silence_is_none():
    found = written(fhir.diagnostic_report(read(REPORT), recorded=NOW))
    assert len(found["Observation"]) == len(REPORT)
    assert len({each["code"]["text"] for each in found["Observation"]}) == len(REPORT)
    assert len(found["DiagnosticReport"][0]["result"]) == len(REPORT)
    nothing = written(fhir.diagnostic_report(read({}), recorded=NOW))
    assert set(nothing) == {"DiagnosticReport", "Provenance"}
    assert "result" not in nothing["DiagnosticReport"][0]


def test_values_are_codes_quantities_and_segments():
    made = observations(REPORT)
    lvef = made["Left ventricular ejection fraction"]
    assert {"system": LOINC, "code": "8811-2"} in lvef["code"]["coding"]
    assert lvef["valueQuantity"] == {
        "value": 31,
        "unit": "%",
        "system": "http://unitsofmeasure.org",
        "code": "%",
    }
    absent = made["Myocardial oedema"]["valueCodeableConcept"]
    assert absent == {"coding": [{"system": SCT, "code": "2667000"}], "text": "Absent"}
    segments = made["Segments with late gadolinium enhancement"]["component"]
    assert [each["valueCodeableConcept"]["coding"][0]["code"] for each in segments] == [
        "396646008",
        "128564006",
    ]


def test_nothing_is_final_and_nothing_is_interpreted():
    found = written(fhir.diagnostic_report(read(REPORT), recorded=NOW))
    for resource in (*found["Observation"], *found["DiagnosticReport"]):
        assert resource["status"] == "preliminary"
        assert "interpretation" not in resource
    assert "not reviewed" in found["DiagnosticReport"][0]["conclusion"]


def test_a_previous_number_cannot_be_taken_for_a_current_one():
    made = observations(REPORT)
    current, previous = (made["Left ventricular ejection fraction" + end] for end in ("", ", previous study"))
    assert previous["valueQuantity"]["value"] == 55
    assert list(codings(previous["code"])) == []
    assert {"text": "previous study"} in previous["category"]
    assert {"text": "previous study"} not in current["category"]


def test_probability_answer_and_place_of_the_evidence_are_there():
    extensions = {
        each["url"]: each for each in observations(REPORT)["Late gadolinium enhancement"]["extension"]
    }
    assert extensions["urn:extractor:fhir:probability"]["valueDecimal"] == 0.875
    assert extensions["urn:extractor:fhir:answer"]["valueCode"] == "answered"
    place = {
        part["url"]: part["valueInteger"] for part in extensions["urn:extractor:fhir:evidence"]["extension"]
    }
    assert place == {"sentence": 2, "start": 40, "end": 60}


@pytest.mark.parametrize("version", registry.BUILT_IN, ids=lambda version: version.ref)
def test_only_verified_codes_leave_whatever_a_report_states(version):
    verified = {
        (row.url, row.code) for rows in codes.table().values() for row in rows if row.status == "verified"
    }
    ours = {
        ("http://terminology.hl7.org/CodeSystem/observation-category", "imaging"),
        ("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG"),
    }
    fields = leaves(version.model)
    most = max(len(leaf.labels) for leaf in fields.values())
    for turn in range(most):
        values = {}
        for path, leaf in fields.items():
            label = list(leaf.labels.values())[turn % len(leaf.labels)]
            values[path] = (
                quantity(1.0, leaf.measure.unit)
                if leaf.measure
                else [label]
                if leaf.kind == "list"
                else label
            )
        bundle = fhir.diagnostic_report(read(values, version.ref), recorded=NOW)
        assert set(codings(bundle)) <= verified | ours


def test_the_leading_diagnosis_is_coded_only_where_the_report_is_definite():
    def conclusion(**values: Any) -> dict[str, Any]:
        found = written(fhir.diagnostic_report(read({"diagnosis": "dcm"} | values), recorded=NOW))
        assert list(codings(found["Observation"][0]["valueCodeableConcept"])) == list(
            codings(found["DiagnosticReport"][0].get("conclusionCode", []))
        )
        return found["DiagnosticReport"][0]

    (sure,) = conclusion(certainty="definite")["conclusionCode"]
    assert (SCT, "399020009") in codings(sure)
    (unsure,) = conclusion(certainty="possible")["conclusionCode"]
    assert unsure["text"] == "Dilated cardiomyopathy (possible)"
    assert "coding" not in unsure
    assert "conclusionCode" not in conclusion(certainty="excluded")
    assert "Dilated cardiomyopathy, probability 0.88." in conclusion()["conclusion"]


def test_each_condition_says_how_certain_and_since_when():
    values = {
        "primary": "dcm",
        "conditions.dcm.certainty": "probable",
        "conditions.dcm.acuity": "chronic",
        "conditions.myocarditis.certainty": "excluded",
    }
    made = observations(values, "cmr-diagnosis@3")
    assert made["Primary diagnosis"]["valueCodeableConcept"] == {"text": "Dilated cardiomyopathy (probable)"}
    assert made["Dilated cardiomyopathy"]["valueCodeableConcept"]["text"] == "Probable"
    assert made["Dilated cardiomyopathy: acuity"]["valueCodeableConcept"]["text"] == "Chronic"
    assert made["Myocarditis"]["valueCodeableConcept"]["text"] == "Excluded"


def test_provenance_names_the_software_the_model_and_the_versions():
    found = written(fhir.diagnostic_report(read(REPORT), recorded=NOW))
    (provenance,) = found["Provenance"]
    assert provenance["agent"][0]["who"] == {"type": "Device", "display": "extractor 0.1.0"}
    assert provenance["recorded"].startswith("2026-11-23T12:00:00")
    entities = [entity["what"]["identifier"] for entity in provenance["entity"]]
    assert {each["system"].removeprefix("urn:extractor:"): each["value"] for each in entities} == {
        "schema": "cmr-report@2",
        "prompt": "cmr-report@1",
        "decode": "choice",
        "model": "tiny-random",
        "weights_sha256": "ab" * 32,
        "precision": "float32",
        "engine": "vllm 0.32",
    }
    assert len(provenance["target"]) == len(REPORT) + 1
    assert found["DiagnosticReport"][0]["identifier"] == [{"value": "study-17"}]


def test_references_lead_to_entries_and_ids_are_the_same_every_time():
    first = fhir.diagnostic_report(read(REPORT), recorded=NOW)
    assert fhir.diagnostic_report(read(REPORT), recorded=NOW) == first
    later = fhir.diagnostic_report(read(REPORT))
    urls = [entry["fullUrl"] for entry in first["entry"]]
    assert [entry["fullUrl"] for entry in later["entry"]] == urls
    assert len(set(urls)) == len(urls)
    text = orjson.dumps(first).decode()
    assert {part.partition('"')[0] for part in text.split('"reference":"')[1:]} <= set(urls)
    other = fhir.diagnostic_report(read(REPORT, id_="study-18"), recorded=NOW)
    assert {entry["fullUrl"] for entry in other["entry"]}.isdisjoint(urls)


def test_no_report_text_goes_in():
    assert CANARY not in orjson.dumps(fhir.diagnostic_report(read(REPORT))).decode()


class SiteReport(Schema):
    """A site's own: a name that we use too, and one that means an earlier study."""

    lvef: Annotated[Measured, Measure("%", low=3, high=90)]
    old_ef: Annotated[Measured, Measure("%", low=3, high=90, study="previous")]
    device_leads: Finding
    quoted: Evidence


def test_a_sites_own_schema_goes_out_as_text():
    values = {
        "lvef": quantity(50.0, "%"),
        "old_ef": quantity(40.0, "%"),
        "device_leads": "present",
        "quoted": {"sentence": 0, "text": CANARY, "start": 0, "end": 9},
    }
    bundle = fhir.diagnostic_report(read(values, "SiteReport"), model=SiteReport, recorded=NOW)
    made = {each["code"]["text"]: each for each in written(bundle)["Observation"]}
    assert set(made) == {"lvef", "old ef, previous study", "device leads", "quoted"}
    assert {system for system, _ in codings(bundle)} & {SCT, LOINC} == set()
    assert made["lvef"]["valueQuantity"]["code"] == "%"
    assert CANARY not in orjson.dumps(bundle).decode()
    with pytest.raises(NotFoundError, match="Pass its Pydantic model"):
        fhir.diagnostic_report(read(values, "SiteReport"))


def test_a_list_keeps_its_errors_in_their_place_and_equal_reports_apart():
    problem = ExtractorError(
        "The report is empty.", code="report_empty", field="reports[1].text", fix="Send text."
    )
    same = read(REPORT, id_=None)
    bundle = fhir.bundle([same, problem.problem(), same], recorded=NOW)
    found = written(bundle)
    assert len({entry["fullUrl"] for entry in bundle["entry"]}) == len(bundle["entry"])
    assert len(found["DiagnosticReport"]) == 2
    (issue,) = found["OperationOutcome"][0]["issue"]
    assert issue["expression"] == ["reports[1].text"]
    assert (issue["details"]["text"], issue["diagnostics"]) == ("The report is empty.", "Send text.")
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds.index("OperationOutcome") == len(REPORT) + 2


def test_without_the_extra_the_error_says_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fhir"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(fhir.FhirError, match=r"pip install '\.\[fhir\]'"):
        fhir.diagnostic_report(read(REPORT))
    (tmp_path / "report.txt").write_text("LVEF 62 %.")
    answer = CliRunner().invoke(main, ["extract", str(tmp_path / "report.txt"), "--format", "fhir"])
    assert answer.exit_code == 1
    assert "pip install '.[fhir]'" in answer.output


def test_json_and_another_format_contradict_each_other():
    answer = CliRunner().invoke(main, ["extract", "report.txt", "--json", "--format", "fhir"])
    assert answer.exit_code == 2


# --- what a caller accepts ---


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/fhir+json", True),
        ("application/fhir+json; fhirVersion=4.0", True),
        ("Application/FHIR+JSON, */*;q=0.1", True),
        ("application/json, application/fhir+json;q=0.9", False),
        ("application/json;q=0.2, application/*", True),
        ("application/json;q=0, */*", True),
        ("text/html, application/xml;q=0.9, */*;q=0.8", False),
    ],
)
def test_the_accept_header_chooses(accept, expected):
    assert wants_fhir(accept) is expected


@pytest.mark.parametrize("accept", ["text/html", f"text/{CANARY}", "*/*;q=0", "application/fhir+json;q=x"])
def test_an_accept_header_that_leaves_nothing_is_an_error_without_its_words(accept):
    with pytest.raises(NotAcceptableError) as error:
        wants_fhir(accept)
    assert error.value.problem()["status"] == 406
    assert CANARY not in str(error.value)


# --- over HTTP, with a real engine ---


@pytest.fixture(scope="module")
def api(tiny_extractor: Extractor) -> Iterator[TestClient[Any]]:
    with TestClient(create_app(Settings(), lambda: tiny_extractor)) as client:
        end = time.monotonic() + 120
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < end, "the model did not load"
            time.sleep(0.1)
        yield client


TEXT = f"Normal left ventricle, LVEF 62 %. No oedema. {CANARY}."


def post(api: TestClient[Any], accept: str, **body: Any) -> Any:
    return api.post("/extract", json={"schema": "cmr-report@1", **body}, headers={"Accept": accept})


@pytest.mark.engine
def test_the_api_answers_fhir_where_it_is_asked_for(api):
    answer = post(api, fhir.MEDIA_TYPE, text=TEXT, id="study-17")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == fhir.MEDIA_TYPE
    found = written(answer.json())
    assert found["DiagnosticReport"][0]["identifier"] == [{"value": "study-17"}]
    assert CANARY not in answer.text
    plain = post(api, "application/json", text=TEXT)
    assert plain.headers["content-type"] == "application/json"
    said = [field for field in plain.json()["fields"].values() if field["value"] not in (NOT_STATED, [])]
    assert len(found["Observation"]) == len(said)


@pytest.mark.engine
def test_a_list_is_one_bundle_and_its_bad_report_an_operation_outcome(api):
    answer = post(api, fhir.MEDIA_TYPE, reports=[{"text": TEXT}, {"text": "  "}, {"text": 5}])
    found = written(answer.json())
    assert len(found["DiagnosticReport"]) == 1
    assert [each["issue"][0]["expression"] for each in found["OperationOutcome"]] == [
        ["reports[1].text"],
        ["reports[2].text"],
    ]


@pytest.mark.engine
def test_errors_stay_problems(api):
    for accept, body, status in (
        (fhir.MEDIA_TYPE, {"text": "  "}, 422),
        (fhir.MEDIA_TYPE, {"text": TEXT, "schema": CANARY}, 404),
        ("text/html", {"text": TEXT}, 406),
    ):
        answer = post(api, accept, **body)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert CANARY not in answer.text


@pytest.mark.engine
def test_the_command_prints_one_bundle_a_line(monkeypatch, tmp_path, tiny_extractor):
    opened = SimpleNamespace(extract=tiny_extractor.extract, engine=SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(extractor.pipeline, "open_extractor", lambda *_: opened)
    names = [str(tmp_path / name) for name in ("a.txt", "empty.txt", "b.txt")]
    for name, text in zip(names, (TEXT, "", TEXT), strict=True):
        Path(name).write_text(text)
    answer = CliRunner().invoke(main, ["extract", *names, "--format", "fhir"])
    assert answer.exit_code == 1, "one report could not be read"
    first, bad, second = (written(orjson.loads(line)) for line in answer.stdout.splitlines())
    assert [each["DiagnosticReport"][0]["identifier"][0]["value"] for each in (first, second)] == names[::2]
    assert set(bad) == {"OperationOutcome"}
    assert CANARY not in answer.stdout
