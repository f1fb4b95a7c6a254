"""Results as FHIR R4 Bundles.

No report text goes in: only labels, numbers and character offsets. A code goes in where `schemas.codes` says
that it is verified; everything else is text. Every Bundle passes the R4B models of `fhir.resources` before it
leaves.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from extractor.errors import ExtractorError
from extractor.fhir.resources import Resource, address, operation_outcome, resources
from extractor.fhir.words import Words
from extractor.result import Extraction

MEDIA_TYPE: Final = "application/fhir+json"


class FhirError(ExtractorError):
    status = 501
    title = "FHIR unavailable"


def check() -> None:
    """Raise `FhirError` where the extra that validates FHIR is not installed."""
    try:
        import fhir.resources.R4B.bundle  # noqa: F401
    except ImportError:
        raise FhirError(
            "FHIR needs the package fhir.resources.",
            code="fhir_missing",
            fix="In a copy of the repository: pip install '.[fhir]'.",
        ) from None


def diagnostic_report(
    extraction: Extraction, *, model: type[BaseModel] | None = None, recorded: datetime | None = None
) -> Resource:
    """Return one result as a Bundle of type `collection`.

    `model` is needed only for a schema that the registry does not know. `recorded` is when Provenance says
    that the result was made: now, unless given. All else, ids included, depends on the result alone; give
    every report its own `id`, or two that say exactly the same get the same ids.

    Raises:
        FhirError: the extra `fhir` is not installed, or the result does not fit FHIR.
        NotFoundError: the schema is unknown and no `model` came with it.
    """
    return _bundle(resources(extraction, Words(extraction.schema_, model), recorded or datetime.now(UTC), 0))


def bundle(
    outcomes: Sequence[Extraction | Mapping[str, Any]], *, recorded: datetime | None = None
) -> Resource:
    """Return many results as one Bundle; an RFC 9457 problem becomes an OperationOutcome in its own place.

    Raises what `diagnostic_report` raises.
    """
    now = recorded or datetime.now(UTC)
    entries: list[tuple[str, Resource]] = []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Extraction):
            entries += resources(outcome, Words(outcome.schema_), now, place)
        else:
            entries.append((address(place, outcome), operation_outcome(outcome)))
    return _bundle(entries)


def _bundle(entries: Iterable[tuple[str, Resource]]) -> Resource:
    check()
    from fhir.resources.R4B.bundle import Bundle

    entry = [{"fullUrl": url, "resource": resource} for url, resource in entries]
    made: Resource = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    try:
        Bundle.model_validate(made)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
    else:
        return made
    raise FhirError("The result does not fit FHIR R4.", code="fhir_invalid", field=where)
