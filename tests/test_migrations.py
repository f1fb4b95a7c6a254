"""Stored results under other versions: what is carried, what is refused, and that nothing is guessed."""

import json
from dataclasses import replace
from datetime import date
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from extractor.errors import InputError, NotFoundError
from extractor.migration import migrate_record, migrate_result, records
from extractor.result import Extraction, FieldResult, Provenance, Usage
from schemas import check, registry
from schemas.cmr_diagnosis_v2 import Diagnosis
from schemas.fields import Finding, Measure, Measured, Schema
from schemas.leaves import Leaf, flatten, leaves, nest
from schemas.migrate import MigrationError, migrate
from schemas.registry import BUILT_IN, get
from schemas.version import Migration, SchemaVersion

CANARY = "Mrs Canary, born 1 April 1950"
LVEF = {"text": "35 %", "value": 35.0, "unit": "%", "start": 10, "end": 14}


# --- any valid result of any version ---


def values(leaf: Leaf) -> st.SearchStrategy[Any]:
    labels = st.sampled_from(list(leaf.labels.values())) if leaf.labels else st.nothing()
    if leaf.kind == "list":
        low, high = leaf.size or (0, 0)
        drawn = st.sets(labels, min_size=low, max_size=high)
        return drawn.map(lambda chosen: [value for value in leaf.labels.values() if value in chosen])
    if leaf.measure:
        bounds = leaf.measure
        number = st.floats(bounds.low, bounds.high)
        place = st.integers(0, 999)
        span = st.builds(
            lambda value, start: (
                LVEF | {"value": value, "unit": bounds.unit, "start": start, "end": start + 4}
            ),
            number,
            place,
        )
        return st.one_of(labels, span)
    return labels


def results(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Any valid data of a schema."""
    parts = {path: values(leaf) for path, leaf in leaves(model).items()}
    return st.fixed_dictionaries(parts).map(lambda drawn: nest(model, drawn))


def line(entry: SchemaVersion) -> list[SchemaVersion]:
    """The versions that `entry` was made from, newest first."""
    return [get(entry.older), *line(get(entry.older))] if entry.older else []


DOWN = [(newer, older) for newer in BUILT_IN for older in line(newer)]
UP = [(older, newer) for newer, older in DOWN if newer.up and newer.older == older.ref]


def ref(entry: Any) -> str:
    return str(entry.ref)


@pytest.mark.parametrize(("newer", "older"), DOWN, ids=ref)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_every_result_goes_down_and_is_valid_there(
    newer: SchemaVersion, older: SchemaVersion, data: st.DataObject
) -> None:
    result = data.draw(results(newer.model))
    newer.model.model_validate(result)
    older.model.model_validate(migrate(result, newer, older))


@pytest.mark.parametrize(("older", "newer"), UP, ids=ref)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_what_goes_up_comes_down_as_it_was(
    older: SchemaVersion, newer: SchemaVersion, data: st.DataObject
) -> None:
    result = data.draw(results(older.model))
    try:
        risen = migrate(result, older, newer)
    except MigrationError as error:
        assert error.label == "other"  # noqa: PT017  the only one of @1 that may mean several
        return
    newer.model.model_validate(risen)
    assert migrate(risen, newer, older) == result


@pytest.mark.parametrize("entry", BUILT_IN, ids=ref)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_a_result_of_the_version_itself_stays_as_it_is(entry: SchemaVersion, data: st.DataObject) -> None:
    result = data.draw(results(entry.model))
    assert migrate(result, entry, entry) == result


@pytest.mark.parametrize("entry", BUILT_IN, ids=ref)
def test_the_packages_migrations_leave_nothing_out(entry: SchemaVersion) -> None:
    assert check.version_problems(entry, {one.ref: one for one in BUILT_IN}) == []


# --- by example ---


def move(diagnosis: str, source: str, target: str, key: str = "diagnosis") -> Any:
    return migrate({key: diagnosis}, get(source), get(target))


def test_labels_that_the_older_version_lacks_become_other() -> None:
    assert move("myocarditis", "cmr-diagnosis@2", "cmr-diagnosis@1") == {"diagnosis": "other"}
    assert move("hcm", "cmr-diagnosis@2", "cmr-diagnosis@1") == {"diagnosis": "hcm"}
    assert move("hcm", "cmr-diagnosis@1", "cmr-diagnosis@2") == {"diagnosis": "hcm"}


def third(primary: str) -> dict[str, Any]:
    silent = {"certainty": "not_stated", "acuity": "not_stated"}
    diseases = {path.split(".")[1] for path in leaves(get("cmr-diagnosis@3").model) if "." in path}
    return {"primary": primary, "conditions": dict.fromkeys(diseases, silent)}


@pytest.mark.parametrize(
    ("primary", "second", "first"),
    [("fabry", "other", "other"), ("myocarditis", "myocarditis", "other"), ("dcm", "dcm", "dcm")],
)
def test_a_field_that_moved_is_found_through_several_versions(primary: str, second: str, first: str) -> None:
    newest = get("cmr-diagnosis@3")
    assert migrate(third(primary), newest, get("cmr-diagnosis@2")) == {"diagnosis": second}
    assert migrate(third(primary), newest, get("cmr-diagnosis@1")) == {"diagnosis": first}


def report() -> dict[str, Any]:
    """A report of @2 with a severity, segments, a measurement and a previous study."""
    found = {
        path: values for path, leaf in leaves(get("cmr-report@2").model).items() for values in [silent(leaf)]
    }
    found |= {
        "diagnosis": "sarcoidosis",
        "findings.lv_dilatation": "severe",
        "findings.lge": "present",
        "findings.lge_segments": ["apex", "mid_inferior"],
        "measurements.lvef": LVEF,
        "previous.lvef": LVEF | {"value": 50.0},
    }
    return nest(get("cmr-report@2").model, found)


def silent(leaf: Leaf) -> Any:
    return [] if leaf.kind == "list" else leaf.labels.get("not_stated", "indeterminate")


def test_a_report_loses_what_its_older_version_did_not_ask() -> None:
    older = migrate(report(), get("cmr-report@2"), get("cmr-report@1"))
    assert older.keys() == {"diagnosis", "findings", "measurements"}
    assert older["diagnosis"] == "other"
    assert older["findings"]["lv_dilatation"] == "present"
    assert older["measurements"]["lvef"] == LVEF
    assert "lge_segments" not in older["findings"]


def refusal(data: Any, source: str, target: str) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        migrate(data, get(source), get(target))
    return caught.value


def test_what_may_mean_several_things_is_refused_with_the_way_out() -> None:
    error = refusal({"diagnosis": "other"}, "cmr-diagnosis@1", "cmr-diagnosis@2")
    assert (error.source, error.target) == ("cmr-diagnosis@1", "cmr-diagnosis@2")
    assert (error.field, error.label) == ("diagnosis", "other")
    assert str(error) == (
        "cmr-diagnosis@1 to cmr-diagnosis@2: diagnosis (other): @1's other may be hypertensive, myocarditis or "
        "constriction here. Read the report again with cmr-diagnosis@2."
    )


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("cmr-diagnosis@2", "cmr-diagnosis@3", "cmr-diagnosis@3 asks what cmr-diagnosis@2 does not answer"),
        ("cmr-diagnosis@1", "cmr-report@1", "neither version was made from the other"),
    ],
)
def test_a_version_that_asked_more_is_out_of_reach(source: str, target: str, reason: str) -> None:
    error = refusal({"diagnosis": "hcm"}, source, target)
    assert error.reason == reason
    assert error.fix == f"Read the report again with {target}."


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("findings.lge", CANARY, "findings.lge"),
        ("measurements.lvef", 35, "measurements.lvef"),
        ("measurements.lvef", LVEF | {CANARY: 1}, "measurements.lvef"),
        ("findings.lge_segments", ["apex", CANARY], "findings.lge_segments"),
        (f"findings.{CANARY}", "present", "findings"),
        (CANARY, 1, None),
        ("findings", None, "findings"),
    ],
)
def test_data_that_is_not_valid_names_its_field_and_nothing_else(
    place: str, value: Any, named: str | None
) -> None:
    data = json.loads(json.dumps(report()))
    above, _, name = place.rpartition(".")
    (data[above] if above else data)[name] = value
    error = refusal(data, "cmr-report@2", "cmr-report@1")
    assert error.field == named
    assert "Canary" not in str(error)
    assert "Canary" not in repr(error)
    assert "extractor schemas show cmr-report@2" in str(error)


# --- a site's own versions ---


class Site(Schema):
    diagnosis: Diagnosis
    scars: Annotated[list[Finding], Field(max_length=3)]
    lvef: Annotated[Measured, Measure("%", low=0, high=100)]


class Smaller(Schema):
    diagnosis: Diagnosis
    scars: Annotated[list[Finding], Field(max_length=1)]
    lvef: Annotated[Measured, Measure("%", low=3, high=90)]


class Danon(Schema):
    diagnosis: Finding


class Moved(Schema):
    primary: Diagnosis


class Quantities(Schema):
    diagnosis: Annotated[Measured, Measure("%", low=0, high=1)]


def site(name: str, model: type[Schema], older: str | None = None, **given: Any) -> SchemaVersion:
    return SchemaVersion(name, 1, model, date(2026, 12, 1), "stable", "Ours.", older, **given)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> tuple[SchemaVersion, SchemaVersion]:
    """A version made from cmr-diagnosis@2, and one of another site made from that."""
    merged = {"scars": {"uncertain": "present"}}
    smaller = site("smaller", Smaller, "cmr-diagnosis@2", down=Migration())
    larger = site("larger", Site, "smaller@1", down=Migration(labels=merged), up=Migration())
    monkeypatch.setattr("schemas.registry._added", [])
    registry.add(smaller, larger)
    return smaller, larger


def test_versions_of_different_families_are_linked(ours: tuple[SchemaVersion, SchemaVersion]) -> None:
    smaller, larger = ours
    data = {"diagnosis": "myocarditis", "scars": ["uncertain", "present"], "lvef": "not_stated"}
    assert migrate(data, larger, smaller) == data | {"scars": ["present"]}
    assert migrate(data, larger, get("cmr-diagnosis@2")) == {"diagnosis": "myocarditis"}
    assert migrate(data, larger, get("cmr-diagnosis@1")) == {"diagnosis": "other"}


def test_lists_come_in_the_order_of_their_labels(ours: tuple[SchemaVersion, SchemaVersion]) -> None:
    data = {"diagnosis": "hcm", "scars": ["not_stated", "absent", "present"], "lvef": "not_stated"}
    assert migrate(data, ours[1], ours[1])["scars"] == ["present", "absent", "not_stated"]


def test_what_does_not_fit_is_refused(ours: tuple[SchemaVersion, SchemaVersion]) -> None:
    smaller, larger = ours
    data = {"diagnosis": "hcm", "scars": ["absent", "present"], "lvef": "not_stated"}
    with pytest.raises(MigrationError, match=r"scars: 2 labels, where 0 to 1 may stand"):
        migrate(data, larger, smaller)
    with pytest.raises(MigrationError, match=r"lvef: the number is outside 3 to 90 %") as caught:
        migrate(data | {"scars": [], "lvef": LVEF | {"value": 97.5}}, larger, smaller)
    assert "97" not in str(caught.value)


def test_a_migration_that_was_never_checked_still_guesses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.registry._added", [])
    moved, danon, number = (
        site(name, model, "cmr-diagnosis@2", down=Migration())
        for name, model in (("moved", Moved), ("danon", Danon), ("number", Quantities))
    )
    registry.add(moved, danon, number)
    for entry, data, reason in (
        (moved, {"primary": "hcm"}, "nothing in moved@1 fills diagnosis"),
        (danon, {"diagnosis": "present"}, "no label there means it"),
        (number, {"diagnosis": LVEF}, "it is another kind of answer there"),
    ):
        with pytest.raises(MigrationError, match=reason):
            migrate(data, entry, get("cmr-diagnosis@2"))


class Maybe(Schema):
    part: Smaller | None


class Surely(Schema):
    part: Smaller


def test_a_part_that_may_be_missing_cannot_fill_one_that_may_not() -> None:
    older = site("maybe", Surely)
    newer = replace(site("maybe", Maybe, "maybe@1", down=Migration()), version=2)
    found = check.version_problems(newer, {older.ref: older, newer.ref: newer})
    assert "maybe@2: down, part.lvef: part.lvef may be missing, and this may not." in found


def test_a_measurement_of_another_unit_or_study_is_not_carried() -> None:
    def entry(version: int, unit: str, study: Any, **given: Any) -> SchemaVersion:
        model = create_model(
            "Heart", __base__=Schema, lvedv=(Annotated[Measured, Measure(unit, 1, 9, study)], ...)
        )
        return replace(site("heart", model, **given), version=version)

    older = entry(1, "mL", "current")
    for unit, study, reason in (
        ("mL/m2", "current", "its unit is mL"),
        ("mL", "previous", "its study is current"),
    ):
        newer = entry(2, unit, study, older="heart@1", down=Migration())
        (problem,) = check.version_problems(newer, {older.ref: older, newer.ref: newer})
        assert problem.startswith(f"heart@2: down, lvedv: {reason}")


def test_a_part_that_is_missing_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.registry._added", [])
    older = site("maybe", Maybe)
    newer = replace(older, version=2, older="maybe@1", down=Migration())
    registry.add(older, newer)
    full = {"part": {"diagnosis": "hcm", "scars": ["absent"], "lvef": LVEF}}
    for data in (full, {"part": None}):
        assert migrate(data, newer, older) == data
        assert nest(Maybe, flatten(Maybe, data)) == data


# --- migrations that are wrong ---


def problems(model: type[Schema], **given: Any) -> str:
    entry = site("site-diagnosis", model, "cmr-diagnosis@2", **given)
    return "\n".join(check.version_problems(entry, {one.ref: one for one in (*BUILT_IN, entry)}))


@pytest.mark.parametrize(
    ("model", "given", "problem"),
    [
        (Moved, {"down": Migration()}, "down, diagnosis: nothing in site-diagnosis@1 fills it"),
        (
            Danon,
            {"down": Migration()},
            "present, absent, uncertain, not_stated of diagnosis has no label here",
        ),
        (Quantities, {"down": Migration()}, "it is a category, and diagnosis a quantity"),
        (Site, {"down": Migration(moved={"x": "scars"})}, "moved names x, which is no field"),
        (
            Site,
            {"down": Migration(moved={"diagnosis": "x"})},
            "moved takes diagnosis from x, which is no field",
        ),
        (Site, {"down": Migration(labels={"x": {"hcm": "dcm"}})}, "labels names x, which is not filled"),
        (
            Site,
            {"down": Migration(labels={"diagnosis": {"x": "dcm"}})},
            "labels of diagnosis names x, no label",
        ),
        (Site, {"down": Migration(labels={"diagnosis": {"dcm": "x"}})}, "labels of diagnosis makes x of dcm"),
        (
            Site,
            {"down": Migration(refused={"diagnosis": {"x": "?"}})},
            "refused of diagnosis names x, no label",
        ),
        (
            Site,
            {"down": Migration(labels={"diagnosis": {"dcm": "hcm"}}, refused={"diagnosis": {"dcm": "?"}})},
            "diagnosis both maps and refuses dcm",
        ),
        (Site, {"down": Migration(), "up": Migration()}, "up, scars: nothing in cmr-diagnosis@2 fills it"),
        (
            Smaller,
            {"down": Migration(labels={"diagnosis": {"dcm": "hcm"}}), "up": Migration()},
            "up, diagnosis: dcm goes up and comes down as hcm",
        ),
        (
            Smaller,
            {"down": Migration(labels={"diagnosis": {"dcm": "hcm"}}), "up": Migration()},
            "up, diagnosis: hcm may be any of dcm, hcm there",
        ),
    ],
)
def test_a_migration_that_leaves_something_out_is_named(
    model: type[Schema], given: dict[str, Any], problem: str
) -> None:
    found = problems(model, **given)
    assert problem in found
    assert all(each.startswith("site-diagnosis@1: ") for each in found.splitlines())


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"older": "nowhere@1"}, "older names nowhere@1, which is not known"),
        ({"released": date(2026, 1, 1)}, "it is released before cmr-diagnosis@1"),
        ({"older": "cmr-diagnosis@2"}, "its line of older versions goes in a circle"),
        ({"status": "deprecated", "deprecated": date(2026, 1, 1)}, "it is deprecated before it is released"),
        ({"name": "CMR diagnosis"}, "its name is small letters"),
        ({"version": 0}, "its version 1 or more"),
    ],
)
def test_names_days_and_links_make_sense(changed: dict[str, Any], problem: str) -> None:
    entry = replace(get("cmr-diagnosis@2"), **changed)
    known = {one.ref: one for one in BUILT_IN} | {entry.ref: entry}
    assert problem in "\n".join(check.version_problems(entry, known))


def test_a_release_does_not_stand_on_a_draft() -> None:
    draft = replace(get("cmr-diagnosis@1"), status="draft")
    (problem,) = check.version_problems(get("cmr-diagnosis@2"), {draft.ref: draft})
    assert problem == "cmr-diagnosis@2: it is released, and cmr-diagnosis@1 is still a draft."


# --- stored results ---


def stored(entry: SchemaVersion, data: dict[str, Any], **given: FieldResult) -> Extraction:
    fields = {
        path: given.get(path) or FieldResult(value=value, probability=0.5, status="answered")
        for path, value in flatten(entry.model, data).items()
    }
    made = Provenance(
        extractor="0",
        schema=entry.ref,
        prompt=entry.ref,
        decode="choice",
        model="tiny",
        weights_sha256="0" * 64,
        precision="bfloat16",
        adapter=None,
        engine="vllm",
    )
    usage = Usage(prompt_tokens=1, cached_tokens=0, output_tokens=0, parts=1)
    return Extraction(id=CANARY, schema=entry.ref, data=data, fields=fields, provenance=made, usage=usage)


@pytest.mark.parametrize(("newer", "older"), DOWN, ids=ref)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_the_fields_of_a_stored_result_say_what_its_data_says(
    newer: SchemaVersion, older: SchemaVersion, data: st.DataObject
) -> None:
    before = stored(newer, data.draw(results(newer.model)))
    after = migrate_result(before, older)
    assert after.data == migrate(before.data, newer, older)
    assert {path: field.value for path, field in after.fields.items()} == flatten(older.model, after.data)
    assert list(after.fields) == list(flatten(older.model, after.data))
    assert (after.schema_, after.id) == (older.ref, before.id)
    assert after.provenance == before.provenance


def diagnosed(value: str, probability: float, distribution: dict[str, float] | None) -> Extraction:
    field = FieldResult(value=value, probability=probability, status="answered", distribution=distribution)
    return stored(get("cmr-diagnosis@2"), {"diagnosis": value}, diagnosis=field)


def test_probabilities_of_labels_that_become_one_are_summed() -> None:
    known = {"hcm": 0.25, "myocarditis": 0.5, "hypertensive": 0.125, "other": 0.125}
    after = migrate_result(diagnosed("myocarditis", 0.5, known), get("cmr-diagnosis@1"))
    field = after.fields["diagnosis"]
    assert (field.value, field.probability) == ("other", 0.75)
    assert field.distribution == {"hcm": 0.25, "other": 0.75}
    alone = migrate_result(diagnosed("myocarditis", 0.5, None), get("cmr-diagnosis@1"))
    assert alone.fields["diagnosis"].probability == 0.5
    assert alone.fields["diagnosis"].distribution is None


def test_a_distribution_over_what_cannot_be_carried_is_left_out() -> None:
    field = FieldResult(
        value="hcm", probability=0.75, status="answered", distribution={"hcm": 0.75, "other": 0.25}
    )
    before = stored(get("cmr-diagnosis@1"), {"diagnosis": "hcm"}, diagnosis=field)
    after = migrate_result(before, get("cmr-diagnosis@2")).fields["diagnosis"]
    assert (after.value, after.probability, after.distribution) == ("hcm", 0.75, None)


def test_a_list_keeps_its_distribution_only_where_it_stays_as_it_is(
    ours: tuple[SchemaVersion, SchemaVersion],
) -> None:
    smaller, larger = ours
    known = {"[…]": 0.75, "any other list": 0.25}
    data = {"diagnosis": "hcm", "scars": ["uncertain"], "lvef": "not_stated"}
    field = FieldResult(value=data["scars"], probability=0.75, status="answered", distribution=known)
    before = stored(larger, data, scars=field)
    assert migrate_result(before, larger).fields["scars"] == field
    after = migrate_result(before, smaller).fields["scars"]
    assert (after.value, after.probability, after.distribution) == (["present"], 0.75, None)


def test_a_measurement_keeps_its_distribution() -> None:
    known = {"35 %": 0.75, "not_stated": 0.25}
    field = FieldResult(value=LVEF, probability=0.75, status="answered", distribution=known)
    before = stored(get("cmr-report@2"), report(), **{"measurements.lvef": field})
    after = migrate_result(before, get("cmr-report@1")).fields["measurements.lvef"]
    assert after == field


def test_a_stored_result_that_is_refused_names_field_and_fix() -> None:
    before = stored(get("cmr-diagnosis@1"), {"diagnosis": "other"})
    with pytest.raises(InputError) as caught:
        migrate_result(before, get("cmr-diagnosis@2"))
    assert caught.value.field == "diagnosis"
    assert caught.value.fix == "Read the report again with cmr-diagnosis@2."
    assert "Canary" not in str(caught.value)
    unknown = before.model_copy(update={"schema_": CANARY})
    with pytest.raises(NotFoundError) as lost:
        migrate_result(unknown, get("cmr-diagnosis@2"))
    assert "Canary" not in str(lost.value)


def test_a_file_of_results_is_read_record_by_record() -> None:
    content = b'{"a": 1}\n\n{"results": [{"b": 2}, {"id": null, "error": {}}]}\nnonsense\n'
    places = [place for place, _ in records(content)]
    assert places == ["1", "3: results[0]", "3: results[1]", "4"]
    assert list(records(b'{\n "a": 1\n}')) == [("1", {"a": 1})]
    error = {"id": "a", "error": {"code": "report_empty"}}
    assert migrate_record(error, get("cmr-diagnosis@1")) == error
