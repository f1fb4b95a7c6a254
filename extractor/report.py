"""A report as the model sees it: sentences and quantities, each a span of the original text."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from extractor.errors import ReportError
from extractor.folding import Folded, fold
from extractor.quantities import Number
from extractor.roles import numbers
from extractor.sentences import Sentence, split

__all__ = ["MAX_CHARS", "Number", "Report", "Sentence"]

MAX_CHARS: Final = 100_000
# C0 and C1 controls and DEL; tabs, line breaks and page breaks are text.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, repr=False)
class Report:
    """One report. `Report.parse` and `Report.from_bytes` check their input; the constructor takes any string."""

    text: str

    def __repr__(self) -> str:
        return f"Report({len(self.text)} characters)"

    @classmethod
    def parse(cls, text: str, *, max_chars: int = MAX_CHARS) -> Self:
        """Check a text from outside. No message ever holds a piece of it.

        Raises `ReportError` with code `report_empty`, `report_too_long`, `report_control_characters` or
        `report_not_utf8` (lone surrogates, which no UTF-8 file can hold).
        """
        if len(text) > max_chars:
            raise _error(
                "report_too_long",
                f"The report has {len(text)} characters, more than the {max_chars} allowed.",
                "Send one report at a time, without attachments.",
            )
        if surrogate := _SURROGATE.search(text):
            raise _error(
                "report_not_utf8",
                f"Character {surrogate.start()} is half of a surrogate pair, so the text is not valid Unicode.",
                "Send the text as UTF-8.",
            )
        if control := _CONTROL.search(text):
            raise _error(
                "report_control_characters",
                f"Character {control.start()} is the control character U+{ord(control.group()):04X}.",
                "Send plain text: only tabs, line breaks and page breaks are allowed beside printable characters.",
            )
        if not text.strip():
            raise _error("report_empty", "The report holds no text.", "Send the text of one report.")
        return cls(text)

    @classmethod
    def from_bytes(cls, data: bytes, *, max_chars: int = MAX_CHARS) -> Self:
        """Decode UTF-8, with or without a byte order mark, and `parse` it.

        Raises `ReportError` with code `report_not_utf8` and the offset of the first wrong byte, or as `parse` does.
        """
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            offset = error.start
        else:
            return cls.parse(text, max_chars=max_chars)
        # Raised outside the handler: the decoding error holds the report's bytes, and a traceback would print them.
        raise _error(
            "report_not_utf8",
            f"Byte {offset} is not valid UTF-8.",
            "Save the report as UTF-8; older systems often write Latin-1 or Windows-1252.",
        )

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The sentences, in order; every character but white space belongs to exactly one (`extractor.sentences`)."""
        return split(self.text)

    @cached_property
    def folded(self) -> Folded:
        """The text without case and diacritics, to find terms in."""
        return fold(self.text)

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """Every number with its unit and what it stands for, in order (`extractor.quantities`)."""
        return numbers(self.text, self.folded, self.sentences)


def _error(code: str, detail: str, fix: str) -> ReportError:
    return ReportError(detail, code=code, field="text", fix=fix)
