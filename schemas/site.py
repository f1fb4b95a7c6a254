"""A site's own schema versions: a folder's files, or those of an installed package. Nothing is read before it is asked for.

A place is a folder, or the name of an entry point of the group `extractor.schemas` whose value is a package; the
package's folder is then read like any other. Each `*.py` file in it defines `VERSION`; files whose names start with
an underscore are shared parts. The folder is imported as a package of its own, so `from .site_v1 import …` works and
no name of it can hide another.
"""

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from schemas import registry
from schemas.fields import Schema
from schemas.version import SchemaVersion, Status

GROUP = "extractor.schemas"

_packages = count(1)


class SiteError(ValueError):
    """A place or a file in it cannot be used. `where` names it, `fix` says what to do."""

    def __init__(self, where: str, detail: str, fix: str) -> None:
        super().__init__(f"{where}: {detail}. {fix}")
        self.where = where
        self.detail = detail
        self.fix = fix


class NoPlaceError(SiteError):
    """There is no such folder and no such entry point."""


@dataclass(frozen=True)
class Found:
    """A version and the file that defines it. Its prompt file lies in the same folder."""

    file: Path
    version: SchemaVersion


def read(places: Iterable[str | Path]) -> list[Found]:
    """Import every version of `places`, each with a reference of its own; none becomes known by that.

    Raises `SiteError` for the first thing wrong.
    """
    importlib.invalidate_caches()
    found = [one for place in places for one in _versions(_package(str(place)))]
    taken = {version.ref for version in registry.all_versions()}
    for one in found:
        if one.version.ref in taken:
            detail = f"{one.version.ref} exists already"
            raise SiteError(one.file.name, detail, "Give VERSION another name or the next number.")
        taken.add(one.version.ref)
    return found


def _package(place: str) -> ModuleType:
    folder = Path(place).expanduser()
    if place and folder.is_dir():  # Path("") is the current directory
        package = ModuleType(f"extractor_site_{next(_packages)}")
        package.__path__ = [str(folder.resolve())]
        sys.modules[package.__name__] = package
        return package
    if folder.is_file():
        raise NoPlaceError(place, "this is a file", "Name the folder that holds it.")
    entry = next(iter(entry_points(group=GROUP, name=place)), None)
    if entry is None:
        fix = f"Name a folder, or an installed entry point of the group {GROUP}."
        raise NoPlaceError(place or "(empty)", "there is no such place", fix)
    package = _import(entry.value, place)
    if not hasattr(package, "__path__"):
        raise SiteError(
            place, "its entry point names no package", "Let it name the package that holds the files."
        )
    return package


def _versions(package: ModuleType) -> Iterator[Found]:
    folder = Path(package.__path__[0])
    files = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    if not files:
        raise SiteError(str(folder), "no schema file is here", "Put one .py file in it for each version.")
    for path in files:
        if not path.stem.isidentifier():
            raise SiteError(
                path.name, "not a module's name", "Use letters, digits and underscores: site_v1.py."
            )
        version = getattr(_import(f"{package.__name__}.{path.stem}", path.name, folder), "VERSION", None)
        if not isinstance(version, SchemaVersion):
            fix = "Define VERSION = SchemaVersion(…), or start the file's name with an underscore."
            raise SiteError(path.name, "no VERSION that is a SchemaVersion", fix)
        _check_types(path.name, version)
        yield Found(path, replace(version, prompts=folder))


def _import(name: str, file: str, folder: Path | None = None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        where = f"{Path(error.filename or file).name}, line {error.lineno or 1}"
        raise SiteError(where, error.msg, "Mend the syntax.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's code may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == folder]
        where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else file
        says = str(error).partition("\n")[0].rstrip(".")
        raise SiteError(where, f"{type(error).__name__}: {says}", "Mend the file.") from None


def _check_types(file: str, version: Any) -> None:
    """Python does not hold a dataclass to its annotations, and the rest of the program trusts them."""
    model = isinstance(version.model, type) and issubclass(version.model, Schema)
    statuses = get_args(Status)
    for field, right, fix in (
        ("name", isinstance(version.name, str), 'Use words and hyphens: "site-diagnosis".'),
        ("version", type(version.version) is int, "Use 1, 2, 3 …"),
        ("model", model, "Use a class derived from schemas.fields.Schema."),
        ("released", isinstance(version.released, date), "Use a date."),
        ("status", version.status in statuses, f"Use one of: {', '.join(statuses)}."),
        ("summary", isinstance(version.summary, str), "Use a sentence."),
    ):
        if not right:
            raise SiteError(f"{file}, {field}", "this value cannot be used", fix)
