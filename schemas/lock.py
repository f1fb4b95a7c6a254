"""Released schemas never change: each one's JSON Schema is published and locked by its hash.

`published/{ref}.json` is the JSON Schema (draft 2020-12) as text, `released.json` its sha256. Units,
plausible ranges, studies and gates are keywords of that schema, so they are locked too. A migration may still
be mended, and a version be deprecated: neither changes what its results say.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.version import SchemaVersion

HERE = Path(__file__).parent


def document(entry: SchemaVersion) -> dict[str, Any]:
    """Return the version's JSON Schema with its dialect and its name, `urn:extractor:schema:cmr-report@1`."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:extractor:schema:{entry.ref}",
    }
    return head | entry.model.model_json_schema()


def text(entry: SchemaVersion) -> str:
    """Return the version's JSON Schema as published: sorted keys, indented by 2, a newline at the end."""
    return json.dumps(document(entry), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def released(folder: Path = HERE) -> dict[str, str]:
    """Return the sha256 of every locked version's published text, by reference."""
    file = folder / "released.json"
    locked: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return locked


def problems(versions: Iterable[SchemaVersion], folder: Path = HERE) -> list[str]:
    """Return what the lock says against these versions, which are all that it should hold."""
    locked = released(folder)
    known = {entry.ref: entry for entry in versions}
    found = [
        f"{ref}: a released version is gone. Put it back: its results are still out there."
        for ref in sorted(locked.keys() - known.keys())
    ]
    for ref, entry in known.items():
        if ref in locked:
            found += _changes(entry, locked[ref], folder)
        elif entry.status != "draft":
            found.append(f"{ref}: it is released but not locked. Run: extractor schemas publish")
    return found


def _changes(entry: SchemaVersion, locked: str, folder: Path) -> list[str]:
    if _digest(text(entry)) != locked:
        return [f"{entry.ref}: a released schema has changed. Undo that. {_next_version(entry)}"]
    if entry.status == "draft":
        return [f"{entry.ref}: it is locked, so it cannot be a draft again."]
    file = folder / "published" / f"{entry.ref}.json"
    if not file.exists() or _digest(file.read_text("utf-8")) != locked:
        return [f"{entry.ref}: published/{file.name} is not what was locked. Take it from version control."]
    return []


def _next_version(entry: SchemaVersion) -> str:
    stem, following = entry.name.replace("-", "_"), entry.version + 1
    return (
        f"To ask something else, copy {stem}_v{entry.version}.py to {stem}_v{following}.py, alter its model, "
        f'give its VERSION the number {following}, older="{entry.ref}" and down=Migration(…), name it in '
        "registry.py, then run: extractor schemas publish"
    )


def publish(versions: Iterable[SchemaVersion], folder: Path = HERE) -> list[str]:
    """Publish and lock every released version that is not locked yet; return their references.

    What is locked is never written again. Raises `OSError` where the folder cannot be written.
    """
    locked = released(folder)
    new = [entry for entry in versions if entry.status != "draft" and entry.ref not in locked]
    for entry in new:
        file = folder / "published" / f"{entry.ref}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text(entry), "utf-8")
        locked[entry.ref] = _digest(text(entry))
    if new:
        (folder / "released.json").write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n", "utf-8")
    return [entry.ref for entry in new]


def _digest(published: str) -> str:
    return hashlib.sha256(published.encode()).hexdigest()
