"""What the fields and labels of a schema are called in FHIR: our words, and the codes that are verified."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from extractor.errors import NotFoundError
from schemas import codes, registry
from schemas.leaves import leaves


@dataclass(frozen=True)
class Words:
    """The words of one schema, by its reference, or of a `model` that the registry does not know.

    Only our own schemas have codes: a site's field may share a name with ours and mean another thing.
    """

    ref: str
    model: type[BaseModel] | None = None

    @cached_property
    def coded(self) -> bool:
        return self.model is None and any(version.ref == self.ref for version in registry.BUILT_IN)

    @cached_property
    def previous(self) -> frozenset[str]:
        """The paths of a previous study's numbers. Raises `NotFoundError` where nobody knows the schema."""
        fields = leaves(self.model or self._registered())
        return frozenset(
            path for path, leaf in fields.items() if leaf.measure and leaf.measure.study == "previous"
        )

    def _registered(self) -> type[BaseModel]:
        try:
            return registry.get(self.ref).model
        except registry.UnknownSchema:
            raise NotFoundError(
                "The result's schema is not known here.",
                code="schema_unknown",
                field="schema",
                fix="Pass its Pydantic model as `model`.",
            ) from None

    def report(self) -> dict[str, Any]:
        return _concept("report.cmr" if self.coded else "", self.ref)

    def field(self, path: str) -> dict[str, Any]:
        """What a field asks. A previous study's number has no code: it must not pass for a current one."""
        concept = _concept(codes.field_key(path) if self.coded else "", path.replace(".", ": "))
        if path in self.previous:
            return {"text": f"{concept['text']}, previous study"}
        match path.split("."):
            case ["conditions", disease, "acuity"] if self.coded:
                return {"text": f"{codes.display(f'diagnosis.{disease}')}: {concept['text'].lower()}"}
        return concept

    def label(self, path: str, label: str) -> dict[str, Any]:
        return _concept(codes.label_key(path, label) if self.coded else "", label)

    def unit(self, unit: str) -> dict[str, str]:
        """A unit as written and, where it is known, as UCUM writes it."""
        coding = _coding(f"unit.{unit}")
        return {"unit": unit, **(coding[0] if coding else {})}


def _concept(key: str, otherwise: str) -> dict[str, Any]:
    text = codes.display(key) or otherwise.replace("_", " ")
    coding = _coding(key)
    return {"coding": coding, "text": text} if coding else {"text": text}


def _coding(key: str) -> list[dict[str, str]]:
    # Without `display`: our words are no code system's terms, and theirs have their own licences.
    return [{"system": row.url, "code": row.code} for row in codes.verified(key)]
