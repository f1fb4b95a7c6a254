"""A site's own schemas, through one door: `load` makes them known to this process, all of them or none.

from extractor import site
from extractor.pipeline import Job, open_extractor

site.load("our-schemas")  # a folder; docs/schemas.md says what it holds
open_extractor().extract([Job("LVEF 31 %.", schema="site-diagnosis@1")])
"""

from collections import defaultdict
from pathlib import Path

from extractor import prompt_file
from extractor.compile import compile_form
from extractor.errors import NotFoundError, SchemaError
from extractor.form import Form
from schemas import registry
from schemas.check import version_problems
from schemas.site import Found, NoPlaceError, SiteError, read
from schemas.version import SchemaVersion


def load(*places: str | Path) -> tuple[SchemaVersion, ...]:
    """Read, check and register every schema version of `places`: folders, or names of entry points.

    This runs the Python files that are found there.

    Raises:
        NotFoundError: there is no such place.
        SchemaError: a file that cannot be used, with its name, the field or key in it and the fix.
    """
    try:
        found = read(places)
    except NoPlaceError as error:
        raise NotFoundError(error.detail, code="place_unknown", field=error.where, fix=error.fix) from None
    except SiteError as error:
        raise SchemaError(error.detail, code="site_invalid", field=error.where, fix=error.fix) from None
    versions = tuple(one.version for one in found)
    known = {version.ref: version for version in (*registry.all_versions(), *versions)}
    forms: defaultdict[Path, dict[str, Form]] = defaultdict(dict)
    for one in found:
        forms[one.file.parent][one.version.ref] = _compile(one)
    for one in found:
        for problem in version_problems(one.version, known):
            says = problem.removeprefix(f"{one.version.ref}: ")
            raise SchemaError(says, code="site_invalid", field=one.file.name)
    for folder, of in forms.items():
        prompt_file.check(folder, of)
    registry.add(*versions)
    return versions


def _compile(one: Found) -> Form:
    try:
        return compile_form(one.version.model)
    except SchemaError as error:
        where = f"{one.file.name}, {error.field}"
        raise SchemaError(error.detail, code=error.code, field=where, fix=error.fix) from None
