"""A folder of TXT, PDF and DOCX files, one report a file, named by its path inside the folder."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from extractor.batch.rows import Row, needed, printable, unreadable
from extractor.errors import ExtractorError, InputError, ReportError
from extractor.report import MAX_CHARS, Report

MAX_BYTES = 64 * 2**20
"""Larger files are no reports; they are not opened."""


class Folder:
    """Files in the order of their names, folder by folder; hidden files and other kinds are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for suffix in {path.suffix.lower() for path in self._files()}:
            if suffix in _PACKAGES:
                needed(*_PACKAGES[suffix])
        logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings may quote a report

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for path in self._files():
            try:
                seen = path.stat()
            except OSError as error:
                raise unreadable(path, error) from None
            name = os.fsencode(path.relative_to(self.root))
            digest.update(b"%s\0%d\0%d\0" % (name, seen.st_size, seen.st_mtime_ns))
        return {"files": digest.hexdigest()}

    def count(self) -> int:
        return sum(1 for _ in self._files())

    def rows(self, wanted: Callable[[int], bool]) -> Iterator[Row]:
        for position, path in enumerate(self._files()):
            if wanted(position):
                name = printable(str(path.relative_to(self.root)))
                yield Row(position, name, read(path))

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.root, onerror=self._missed):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() in READERS and not name.startswith((".", "~$")) and path.is_file():
                    yield path

    def _missed(self, error: OSError) -> NoReturn:
        raise unreadable(self.root, error) from None


def read(path: Path) -> str | ExtractorError:
    """Return a file's text, or what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return ReportError(
                f"The file is larger than {MAX_BYTES >> 20} MiB.",
                code="report_too_long",
                field="text",
                fix="Send one report at a time, without images.",
            )
        return READERS[path.suffix.lower()](path)
    except ExtractorError as error:
        return error
    except OSError as error:
        return InputError(f"The file cannot be read: {error.strerror}.", code="file_unreadable")
    except Exception as error:  # noqa: BLE001  what a parser of other people's files may raise has no end
        return ReportError(
            f"The file cannot be read ({type(error).__name__}).",
            code="report_unreadable",
            field="text",
            fix="Open it and save it again, or save its text as .txt.",
        )


def _txt(path: Path) -> str:
    return Report.from_bytes(path.read_bytes()).text


def _pdf(path: Path) -> str:
    pypdf = needed("pypdf", "pypdf")
    with path.open("rb") as file:
        reader = pypdf.PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ReportError(
                "The PDF is locked.",
                code="report_unreadable",
                field="text",
                fix="Save it without a password.",
            )
        text = ""
        for page in reader.pages:
            text += page.extract_text() + "\n"
            if len(text) > MAX_CHARS:
                break  # too long, which is said where it is read
    if not text.strip():
        raise ReportError(
            "The PDF holds no text, perhaps only images of it.",
            code="report_empty",
            field="text",
            fix="Read it with OCR first.",
        )
    return text


def _docx(path: Path) -> str:
    document = needed("docx", "python-docx").Document(str(path))
    return "\n".join(_lines(document))


def _lines(container: Any) -> Iterator[str]:
    """Paragraphs and tables in their order; a merged cell counts once."""
    for block in container.iter_inner_content():
        if hasattr(block, "rows"):
            seen: dict[Any, None] = {}
            for row in block.rows:
                cells = {cell._tc: cell for cell in row.cells}  # noqa: SLF001  merged cells share it
                yield "\t".join("" if tc in seen else "\n".join(_lines(cell)) for tc, cell in cells.items())
                seen |= dict.fromkeys(cells)
        else:
            yield block.text


READERS: dict[str, Callable[[Path], str]] = {".txt": _txt, ".pdf": _pdf, ".docx": _docx}
_PACKAGES = {".pdf": ("pypdf", "pypdf"), ".docx": ("docx", "python-docx")}
