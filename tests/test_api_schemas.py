"""What the API says of its schemas, and of a version that is on its way out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractor.api.lifecycle import lifecycle_headers
from schemas import cmr_diagnosis_v1, lock, registry
from schemas.version import SchemaVersion

REPORT = "Normal left ventricle, LVEF 62 %. No oedema. No late gadolinium enhancement."

OLD = replace(
    cmr_diagnosis_v1.VERSION,
    name="old-diagnosis",
    status="deprecated",
    deprecated=date(2026, 3, 1),
    sunset=date(2027, 3, 1),
)
NEWER = replace(cmr_diagnosis_v1.VERSION, name="old-diagnosis", version=2)
DRAFT = replace(cmr_diagnosis_v1.VERSION, name="old-diagnosis", version=3, status="draft")

LIFECYCLE = {
    "deprecation": "@1772323200",  # date -u -d 2026-03-01 +%s
    "sunset": "Mon, 01 Mar 2027 00:00:00 GMT",
    "link": '</schemas/old-diagnosis/2>; rel="successor-version"',
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", [])
    registry.add(OLD, NEWER, DRAFT)


@pytest.fixture
def api(api_url: str, site: None) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, timeout=60) as client:
        yield client


def lifecycle(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in LIFECYCLE if name in answer.headers}


# --- deprecation ---


@pytest.mark.engine
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": REPORT}, 200),
        ({"reports": [{"text": REPORT}, {"text": ""}]}, 200),
        ({"text": ""}, 422),
        ({"reports": []}, 400),
        ({"reports": [{"text": "x"}] * 5}, 413),
        ({"text": "x", "model": "nope"}, 404),
    ],
)
def test_every_answer_in_a_deprecated_version_says_so(api, body: dict[str, Any], status: int):
    answer = api.post("/extract", json={**body, "schema": "old-diagnosis@1"})
    assert answer.status_code == status
    assert lifecycle(answer) == LIFECYCLE
    successor = answer.links["successor-version"]["url"]
    assert api.get(successor).json()["ref"] == "old-diagnosis@2"


@pytest.mark.engine
@pytest.mark.parametrize("path", ["/schemas/old-diagnosis/1", "/schemas/old-diagnosis/1/json-schema"])
def test_a_deprecated_version_says_so_where_it_is_shown(api, path: str):
    assert lifecycle(api.get(path)) == LIFECYCLE


@pytest.mark.engine
def test_other_versions_do_not_speak_of_deprecation(api):
    for ref in ("old-diagnosis@2", "cmr-diagnosis@1"):
        assert lifecycle(api.post("/extract", json={"text": REPORT, "schema": ref})) == {}
        assert lifecycle(api.get("/schemas/" + ref.replace("@", "/"))) == {}


def test_a_version_without_sunset_or_successor_has_neither_header():
    assert lifecycle_headers(replace(OLD, name="alone", sunset=None)) == {
        "Deprecation": LIFECYCLE["deprecation"]
    }


@given(st.dates(date(1970, 1, 1), date(2999, 12, 31)))
def test_the_deprecation_day_starts_at_midnight_utc(day: date):
    seconds = int(
        lifecycle_headers(replace(OLD, deprecated=day, sunset=None))["Deprecation"].removeprefix("@")
    )
    assert seconds == (day - date(1970, 1, 1)).days * 24 * 60 * 60


# --- what there is ---


@pytest.mark.engine
def test_all_versions_are_listed_with_what_becomes_of_them(api):
    listed = api.get("/schemas").json()["schemas"]
    assert [item["ref"] for item in listed] == [version.ref for version in registry.all_versions()]
    by_ref = {item["ref"]: item for item in listed}
    assert by_ref["old-diagnosis@1"]["status"] == "deprecated"
    assert by_ref["old-diagnosis@1"]["deprecated"] == "2026-03-01"
    assert by_ref["old-diagnosis@1"]["sunset"] == "2027-03-01"
    assert by_ref["cmr-diagnosis@2"]["older"] == "cmr-diagnosis@1"
    assert by_ref["cmr-diagnosis@1"]["older"] is None


@pytest.mark.engine
def test_a_family_is_listed_alone(api):
    listed = api.get("/schemas/old-diagnosis").json()["schemas"]
    assert [item["ref"] for item in listed] == ["old-diagnosis@1", "old-diagnosis@2", "old-diagnosis@3"]


@pytest.mark.engine
@pytest.mark.parametrize("path", ["", "/1", "/latest", "/1/json-schema"])
def test_an_unknown_schema_is_a_problem_that_does_not_repeat_its_name(api, path: str):
    answer = api.get(f"/schemas/Xylocanary{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "schema"
    assert "Xylocanary" not in answer.text


@pytest.mark.engine
def test_latest_is_the_newest_version(api):
    assert api.get("/schemas/cmr-diagnosis/latest").json()["ref"] == registry.get("cmr-diagnosis").ref


# --- the JSON Schema ---


@pytest.mark.engine
@pytest.mark.parametrize("version", registry.BUILT_IN, ids=lambda version: version.ref)
def test_the_json_schema_of_a_released_version_is_the_published_file(api, version: SchemaVersion):
    answer = api.get(f"/schemas/{version.name}/{version.version}/json-schema")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.content == (lock.HERE / "published" / f"{version.ref}.json").read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert answer.json()["properties"] == version.model.model_json_schema()["properties"]


@pytest.mark.engine
def test_the_json_schema_of_a_site_version_is_its_models_and_may_change(api):
    answer = api.get("/schemas/old-diagnosis/2/json-schema")
    assert answer.text == lock.text(NEWER)
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.engine
@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
def test_a_caller_who_holds_the_json_schema_is_not_sent_it_again(api, condition: str):
    path = "/schemas/cmr-diagnosis/1/json-schema"
    tag = api.get(path).headers["etag"]
    answer = api.get(path, headers={"if-none-match": condition.format(tag=tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert api.get(path, headers={"if-none-match": '"other"'}).status_code == 200
