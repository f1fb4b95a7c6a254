"""What a schema's authors are told of a new version: every change, and whom it breaks."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, create_model

from schemas import registry
from schemas.diff import Change, diff, summary
from schemas.fields import Finding, Measure, Measured, Schema, When
from schemas.registry import get
from schemas.version import Migration, SchemaVersion

Scar = Literal["core", "rim"]


def version(number: int, down: Migration | None = None, /, **fields: Any) -> SchemaVersion:
    """Return a version of `heart` whose fields have these types."""
    asked: Any = {name: kind if isinstance(kind, tuple) else (kind, ...) for name, kind in fields.items()}
    model = create_model("Heart", __base__=Schema, **asked)
    older = f"heart@{number - 1}" if down else None
    return SchemaVersion("heart", number, model, date(2026, 1, 1), "stable", "Test.", older, down)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.registry._added", [])


def said(change: Change) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    return change.kind, change.field, change.labels, change.breaks


READERS, WRITERS, BOTH = ("readers",), ("writers",), ("readers", "writers")


class Part(Schema):
    lge: Finding


CASES: dict[str, tuple[Any, Any, list[Any], list[Any], list[Any]]] = {
    # types in A and B; what is said; data that only B gives; data that only A gives
    "a label is added": (
        {"scar": Scar},
        {"scar": Literal["core", "rim", "none"]},
        [("added", "scar", ("none",), READERS)],
        [{"scar": "none"}],
        [],
    ),
    "a label is removed": (
        {"scar": Scar},
        {"scar": Literal["core"]},
        [("removed", "scar", ("rim",), WRITERS)],
        [],
        [{"scar": "rim"}],
    ),
    "null is a label": (
        {"scar": Scar},
        {"scar": Scar | None},
        [("added", "scar", ("not_stated",), READERS)],
        [{"scar": None}],
        [],
    ),
    "a field is added": (
        {"scar": Scar},
        {"scar": Scar, "seen": bool},
        [("added", "seen", (), BOTH)],
        [{"scar": "rim", "seen": True}],
        [{"scar": "rim"}],
    ),
    "a field is added that may be left out": (
        {"scar": Scar},
        {"scar": Scar, "seen": (bool, False)},
        [("added", "seen", (), READERS)],
        [{"scar": "rim", "seen": True}],
        [],
    ),
    "a field is removed": (
        {"scar": Scar, "seen": bool},
        {"scar": Scar},
        [("removed", "seen", (), BOTH)],
        [{"scar": "rim"}],
        [{"scar": "rim", "seen": True}],
    ),
    "a field may be left out": (
        {"scar": Scar},
        {"scar": (Scar, "rim")},
        [("widened", "scar", (), READERS)],
        [{}],
        [],
    ),
    "a part may be missing": (
        {"part": Part},
        {"part": Part | None},
        [("widened", "part", (), READERS)],
        [{"part": None}],
        [],
    ),
    "a part may not be missing": (
        {"part": Part | None},
        {"part": Part},
        [("narrowed", "part", (), WRITERS)],
        [],
        [{"part": None}],
    ),
    "a list grows": (
        {"scars": Annotated[list[Scar], Field(max_length=1)]},
        {"scars": Annotated[list[Scar], Field(max_length=2)]},
        [("widened", "scars", (), READERS)],
        [{"scars": ["core", "rim"]}],
        [],
    ),
    "a list shrinks and grows": (
        {"scars": Annotated[list[Scar], Field(max_length=1)]},
        {"scars": Annotated[list[Scar], Field(min_length=1, max_length=2)]},
        [("changed", "scars", (), BOTH)],
        [{"scars": ["core", "rim"]}],
        [{"scars": []}],
    ),
    "another kind of answer": (
        {"scar": Scar},
        {"scar": Annotated[list[Scar], Field(max_length=1)]},
        [("changed", "scar", (), BOTH)],
        [{"scar": ["rim"]}],
        [{"scar": "rim"}],
    ),
}


def accepts(entry: SchemaVersion, data: Any) -> bool:
    try:
        entry.model.model_validate(data)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_change_breaks_whom_it_is_said_to_break(case: tuple[Any, ...]) -> None:
    before, after, expected, only_b, only_a = case
    a, b = version(1, **before), version(2, **after)
    assert [said(change) for change in diff(a, b)] == expected
    broken = expected[0][3]
    assert ("readers" in broken) == bool(only_b)
    assert ("writers" in broken) == bool(only_a)
    assert all(accepts(b, data) and not accepts(a, data) for data in only_b)
    assert all(accepts(a, data) and not accepts(b, data) for data in only_a)


def measured(unit: str = "%", low: float = 3, high: float = 90, study: Any = "current") -> SchemaVersion:
    return version(1, lvef=Annotated[Measured, Measure(unit, low=low, high=high, study=study)])


@pytest.mark.parametrize(
    ("after", "kind", "breaks"),
    [
        (measured(low=1), "widened", READERS),
        (measured(high=80), "narrowed", WRITERS),
        (measured(low=1, high=80), "changed", BOTH),
        (measured("mL"), "changed", BOTH),
        (measured(study="previous"), "changed", BOTH),
    ],
)
def test_a_measurements_unit_range_and_study(
    after: SchemaVersion, kind: str, breaks: tuple[str, ...]
) -> None:
    assert [said(change) for change in diff(measured(), after)] == [(kind, "lvef", (), breaks)]


def gated(*labels: str) -> SchemaVersion:
    scar: Any = Annotated[Finding, When("lge", *labels)] if labels else Finding
    return version(1, lge=Finding, scar=scar)


@pytest.mark.parametrize(
    ("before", "after", "kind", "breaks"),
    [
        (gated("present"), gated("present", "uncertain"), "widened", READERS),
        (gated("present"), gated(), "widened", READERS),
        (gated("present", "uncertain"), gated("present"), "narrowed", WRITERS),
        (gated(), gated("present"), "narrowed", WRITERS),
        (gated("present"), gated("absent"), "changed", BOTH),
    ],
)
def test_when_a_field_is_asked(
    before: SchemaVersion, after: SchemaVersion, kind: str, breaks: tuple[str, ...]
) -> None:
    assert [said(change) for change in diff(before, after)] == [(kind, "scar", (), breaks)]


class Grade(StrEnum):
    MILD = "mild"
    SEVERE = "severe"
    ABSENT = "absent"
    UNSURE = "unsure"
    NOT_STATED = "not_stated"


@pytest.mark.usefixtures("known")
def test_renames_and_shared_meanings_are_what_the_migration_says() -> None:
    old = version(1, oedema=Finding, lge=Finding, scar=Annotated[Finding, When("lge", "present")])
    down = Migration(
        moved={"lge": "enhancement"},
        labels={"lge": {"mild": "present", "severe": "present", "unsure": "uncertain"}},
    )
    new = version(
        2,
        down,
        oedema=Finding,
        enhancement=Grade,
        scar=Annotated[Finding, When("enhancement", "mild", "severe")],
    )
    registry.add(old, new)
    assert [said(change) for change in diff(old, new)] == [
        ("renamed", "lge", (), BOTH),
        ("renamed", "lge", ("uncertain",), BOTH),
        ("removed", "lge", ("present",), WRITERS),
        ("added", "lge", ("mild", "severe"), READERS),
    ]
    assert [said(change) for change in diff(new, old)] == [
        ("renamed", "enhancement", (), BOTH),
        ("renamed", "enhancement", ("unsure",), BOTH),
        ("removed", "enhancement", ("mild", "severe"), WRITERS),
        ("added", "enhancement", ("present",), READERS),
    ]


def test_the_packages_own_versions() -> None:
    changes = diff(get("cmr-diagnosis@1"), get("cmr-diagnosis@2"))
    assert [said(change) for change in changes] == [
        ("added", "diagnosis", ("hypertensive", "myocarditis", "pericardial_constriction"), READERS),
        ("narrowed", "diagnosis", ("other",), WRITERS),
    ]
    assert summary(changes) == "3 labels added, 1 label narrowed; breaks readers and writers"
    back = diff(get("cmr-diagnosis@2"), get("cmr-diagnosis@1"))
    assert [said(change)[0] for change in back] == ["removed", "widened"]
    renamed = diff(get("cmr-diagnosis@1"), get("cmr-diagnosis@3"))[0]
    assert said(renamed) == ("renamed", "diagnosis", (), BOTH)
    assert renamed.detail == "is now primary"


@pytest.mark.parametrize("entry", registry.BUILT_IN, ids=lambda entry: entry.ref)
def test_a_version_does_not_differ_from_itself(entry: SchemaVersion) -> None:
    assert diff(entry, entry) == []
    assert summary([]) == "no difference; breaks nobody"


def test_other_words_break_nobody() -> None:
    a = version(1, scar=(Scar, Field(description="A scar.")))
    b = version(2, scar=(Scar, Field(description="The scar.")))
    (change,) = diff(a, b)
    assert (change.kind, change.detail, change.breaks) == ("reworded", "The scar.", ())
