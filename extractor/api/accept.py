"""Which of the two formats of an answer a caller asked for: RFC 9110, section 12.5.1."""

from typing import Final

from extractor.errors import RequestError

_FORMATS: Final = ("application/json", "application/fhir+json")


class NotAcceptableError(RequestError):
    status = 406
    title = "Not acceptable"


def wants_fhir(accept: str) -> bool:
    """Read an Accept header: the most specific range decides for each format, and JSON wins a tie.

    Raises `NotAcceptableError` where it leaves neither.
    """
    ranges = dict(_range(part) for part in (accept.strip() or "*/*").split(","))
    json, fhir = (
        next((ranges[name] for name in (format_, "application/*", "*/*") if name in ranges), 0.0)
        for format_ in _FORMATS
    )
    if not (json or fhir):
        raise NotAcceptableError(
            "There is no answer in a format that the request accepts.",
            code="not_acceptable",
            field="Accept",
            fix="Send Accept: application/json or application/fhir+json.",
        )
    return fhir > json


def _range(part: str) -> tuple[str, float]:
    name, *parameters = part.lower().replace(" ", "").split(";")
    weight = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    try:
        quality = float(weight)
    except ValueError:
        return name, 0.0
    return name, quality if 0 <= quality <= 1 else 0.0
