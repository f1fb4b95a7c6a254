"""One result's FHIR resources: a DiagnosticReport, an Observation a stated field, and their Provenance.

R4 and R4B define these three alike. All are `preliminary`: software read them, and nobody has checked them.
"""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from extractor.fhir.words import Words
from extractor.result import Extraction
from schemas.fields import NOT_STATED

Resource = dict[str, Any]

URN: Final = "urn:extractor:fhir"
"""Where our extensions are: `probability` (over the field's options), `answer` (`answered`, `forced` or
`implied`), `review` (whether a human should look; absent where the model has no calibration) and `evidence`
(`sentence`, from 0, and its `start` and `end` in characters of the report)."""

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, URN)
_HL7: Final = "http://terminology.hl7.org/CodeSystem"
_IMAGING: Final = {"coding": [{"system": f"{_HL7}/observation-category", "code": "imaging"}]}
_REPORT: Final = {"coding": [{"system": f"{_HL7}/v2-0074", "code": "IMG"}]}
_UNREVIEWED: Final = "Read from the report's text by software; not reviewed."
_DIAGNOSES: Final = ("diagnosis", "primary")


def resources(
    extraction: Extraction, words: Words, recorded: datetime, place: int
) -> Iterator[tuple[str, Resource]]:
    """Yield one result's resources with their addresses; `place` keeps apart two that say the same."""
    plain = extraction.model_dump(mode="json", by_alias=True)
    fields = {path: field for path, field in plain["fields"].items() if _stated(field["value"])}
    origin = [place, extraction.id, plain["provenance"]]
    made = [(path, _observation(path, fields, words)) for path in fields]
    observations = [(address(*origin, path, observation), observation) for path, observation in made]
    results = [{"reference": url} for url, _ in observations]
    report = _report(extraction.id, fields, words)
    if results:
        report["result"] = results
    url = address(*origin, report)
    yield url, report
    yield from observations
    targets = [{"reference": url}, *results]
    yield address(url, "provenance"), _provenance(plain["provenance"], targets, recorded)


def address(*contents: object) -> str:
    """Return the same `urn:uuid:` for the same contents."""
    return uuid.uuid5(_NAMESPACE, orjson.dumps(contents).decode()).urn


def _stated(value: object) -> bool:
    return value is not None and value not in (NOT_STATED, [])


def _observation(path: str, fields: Mapping[str, Any], words: Words) -> Resource:
    field = fields[path]
    previous = [{"text": "previous study"}] if path in words.previous else []
    value = (
        _diagnosis(path, fields, words)
        if _is_diagnosis(path, fields)
        else _value(path, field["value"], words)
    )
    return {
        "resourceType": "Observation",
        "extension": list(_extensions(field)),
        "status": "preliminary",
        "category": [_IMAGING, *previous],
        "code": words.field(path),
        **value,
    }


def _value(path: str, value: Any, words: Words) -> Resource:
    match value:
        case bool():
            return {"valueBoolean": value}
        case int():
            return {"valueInteger": value}
        case str():
            return {"valueCodeableConcept": words.label(path, value)}
        case list():
            code = {"text": words.field(path)["text"]}
            concepts = [words.label(path, str(item)) for item in value]
            return {"component": [{"code": code, "valueCodeableConcept": concept} for concept in concepts]}
        case {"value": number, "unit": unit}:
            return {"valueQuantity": {"value": number, **words.unit(unit)}}
    return {}  # a sentence as evidence, whose place is in the extension


def _is_diagnosis(path: str, fields: Mapping[str, Any]) -> bool:
    return path in _DIAGNOSES and path in fields and isinstance(fields[path]["value"], str)


def _diagnosis(path: str, fields: Mapping[str, Any], words: Words) -> Resource:
    """The leading diagnosis; as text alone where the report is less than definite about it."""
    label = fields[path]["value"]
    concept, certainty = words.label(path, label), _certainty(label, fields)
    if certainty not in {None, "definite"}:
        concept = {"text": f"{concept['text']} ({certainty})"}
    return {"valueCodeableConcept": concept}


def _certainty(label: str, fields: Mapping[str, Any]) -> str | None:
    stated = fields.get("certainty") or fields.get(f"conditions.{label}.certainty")
    return stated["value"] if stated else None


def _extensions(field: Mapping[str, Any]) -> Iterator[Resource]:
    yield _probability(field)
    yield {"url": f"{URN}:answer", "valueCode": field["status"]}
    if field["review"] is not None:
        yield {"url": f"{URN}:review", "valueBoolean": field["review"]}
    match field:
        case {"evidence": {} as place} | {"value": {"sentence": _} as place}:
            parts = [{"url": name, "valueInteger": place[name]} for name in ("sentence", "start", "end")]
            yield {"url": f"{URN}:evidence", "extension": parts}


def _probability(field: Mapping[str, Any]) -> Resource:
    return {"url": f"{URN}:probability", "valueDecimal": round(field["probability"], 6)}


def _report(id_: str | None, fields: Mapping[str, Any], words: Words) -> Resource:
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "category": [_REPORT],
        "code": words.report(),
        "conclusion": _UNREVIEWED,
    }
    if id_:
        report["identifier"] = [{"value": id_}]
    for path in _DIAGNOSES:
        if _is_diagnosis(path, fields):
            field, concept = fields[path], _diagnosis(path, fields, words)["valueCodeableConcept"]
            sure = f"probability {field['probability']:.2f}{', for review' if field['review'] else ''}"
            report["conclusion"] = f"{concept['text']}, {sure}. {_UNREVIEWED}"
            if _certainty(field["value"], fields) != "excluded":
                report["conclusionCode"] = [{"extension": [_probability(field)], **concept}]
    return report


def _provenance(origin: Mapping[str, Any], targets: list[dict[str, str]], recorded: datetime) -> Resource:
    """Who made it, and from what: each part of `extractor.result.Provenance` is an entity of its name."""
    parts = {name: value for name, value in origin.items() if value is not None}
    software = parts.pop("extractor")
    return {
        "resourceType": "Provenance",
        "target": targets,
        "recorded": f"{recorded.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "agent": [{"who": {"type": "Device", "display": f"extractor {software}"}}],
        "entity": [
            {"role": "source", "what": {"identifier": {"system": f"urn:extractor:{name}", "value": value}}}
            for name, value in parts.items()
        ],
    }


def operation_outcome(problem: Mapping[str, Any]) -> Resource:
    """Return an RFC 9457 problem as FHIR says it."""
    issue: Resource = {
        "severity": "error",
        "code": "invalid" if problem["status"] < 500 else "processing",
        "details": {
            "coding": [{"system": "urn:extractor:problem", "code": problem["code"]}],
            "text": problem["detail"],
        },
    }
    if "fix" in problem:
        issue["diagnostics"] = problem["fix"]
    if "field" in problem:
        issue["expression"] = [problem["field"]]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
