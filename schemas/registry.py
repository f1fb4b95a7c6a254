"""The schema versions this process knows: the package's own, and those that an operator asked for.

A released version never changes: to add one, add a file and its name here. A site's own come in by `add`.
"""

from schemas import cmr_diagnosis_v1, cmr_diagnosis_v2, cmr_diagnosis_v3, cmr_report_v1, cmr_report_v2
from schemas.version import SchemaVersion

BUILT_IN = tuple(
    module.VERSION
    for module in (cmr_diagnosis_v1, cmr_diagnosis_v2, cmr_diagnosis_v3, cmr_report_v1, cmr_report_v2)
)

_added: list[SchemaVersion] = []


class UnknownSchema(KeyError):  # noqa: N818, it reads as the fact it states
    """No schema has this name and version. `known` lists every reference that would work."""

    def __init__(self, ref: str, known: tuple[str, ...]) -> None:
        super().__init__(ref)
        self.ref = ref
        self.known = known

    def __str__(self) -> str:
        return f"unknown schema {self.ref!r}; known: {', '.join(self.known)}"


def add(*versions: SchemaVersion) -> None:
    """Make a site's versions known to this process, all or none.

    Raises `ValueError` where a reference is already taken.
    """
    refs = [entry.ref for entry in (*BUILT_IN, *_added, *versions)]
    twice = sorted({ref for ref in refs if refs.count(ref) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} exists already")
    _added.extend(versions)


def all_versions() -> tuple[SchemaVersion, ...]:
    """Return every version, by name and then from oldest to newest."""
    return tuple(sorted((*BUILT_IN, *_added), key=lambda entry: (entry.name, entry.version)))


def get(ref: str) -> SchemaVersion:
    """Return the version that `ref` names: `cmr-report@1`, or `cmr-report` for the newest of that name.

    Raises `UnknownSchema`.
    """
    versions = all_versions()
    for entry in reversed(versions):
        if ref in (entry.ref, entry.name):
            return entry
    raise UnknownSchema(ref, tuple(entry.ref for entry in versions))
