"""What a model's probabilities are worth: a temperature for each kind of field, and when a human should look.

`calibration.json` lies beside the adapter that it was fitted for, in the store's folder `calibrations`, or in a
model's folder; `training.calibrate` writes it, a calibration for each schema. Temperatures change probabilities and never
an answer; shifts change answers, for the one schema that they were fitted on.
"""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from extractor.errors import StoreError
from extractor.form import Leaf, Members
from extractor.plan import Answer
from extractor.store import default_id, entry
from extractor.store.manifest import CALIBRATION, WORDING
from extractor.wording import Wording
from schemas.fields import NOT_STATED

FILE: Final = CALIBRATION
OF_MODELS: Final = Path(__file__).parent / "store" / "calibrations"
"""Where the calibrations of models without an adapter lie, each in a folder of the model's id."""

UNHEARD: Final = "unheard"
"""In place of a schema: what was fitted without a wording, for a site's own schemas."""

Kind = Literal["conclusion", "finding", "quantity", "list"]
"""What makes answers alike, known from any schema's options alone.

`conclusion`: a category that always has an answer, drawn from the whole report: a diagnosis. `finding`: one that
may be `not_stated`: what the report says of one thing. `quantity`: one of the report's numbers. `list`: several
labels, against every other list. Not finer, because a few dozen reports hold only so many diagnoses.
"""


def kind(leaf: Leaf | Members) -> Kind | None:
    """Return a field's kind; None for evidence and for whether an optional part is there."""
    if isinstance(leaf, Members):
        return "list"
    if leaf.kind == "quantity":
        return "quantity"
    if leaf.kind != "category":
        return None
    return "finding" if any(option.value == NOT_STATED for option in leaf.options) else "conclusion"


def soften(probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Raise to the power of 1 / `temperature` and renormalise; what was likeliest stays so.

    Over a closed set this is the division of logits of Guo et al. 2017 (arXiv 1706.04599), section 4.2.
    """
    top = max(probabilities)
    powers = [(p / top) ** (1 / temperature) for p in probabilities]
    total = math.fsum(powers)
    return tuple(power / total for power in powers)


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Add up what two shifts do to each label of the first."""
    return {label: value + other.get(label, 0.0) for label, value in one.items()}


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Fit(_Data):
    """What one kind of field needs. `wrong` of the `answers` it was fitted on were."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(
        description="less probable answers are for review; null: all are"
    )
    answers: int
    wrong: int


class Calibration(_Data):
    """Fits by kind, and what they were fitted on. `error` is the share of wrong answers that may pass unreviewed."""

    set_: str = Field(alias="set")
    set_sha256: str
    reports: int
    schema_: str = Field(alias="schema")
    prompt: str
    decode: Literal["choice", "grammar"]
    model: str
    weights_sha256: str | None
    adapter_sha256: str | None
    wording: str | None = None
    made: date
    error: Annotated[float, Field(gt=0, lt=1)]
    kinds: Mapping[Kind, Fit]
    shifts: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict, description="by path and label: what is added to the label's log-probability"
    )
    doubts: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict, description="the same, added besides where the report speaks of it with doubt"
    )

    def __str__(self) -> str:
        """Name and hash, short, for provenance."""
        return f"{self.set_} sha256:{hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:12]}"

    def shifts_of(self, doubted: Collection[str]) -> dict[str, Mapping[str, float]]:
        """Return the shifts of a report in which these paths are doubted."""
        return {
            path: added(shift, self.doubts.get(path, {})) if path in doubted else shift
            for path, shift in self.shifts.items()
        }

    def apply(self, leaf: Leaf | Members, answer: Answer) -> tuple[Answer, bool | None]:
        """Return an answer with its probabilities calibrated, and whether it is for review: None if unknown.

        An answer that the model was not asked for keeps its 1.0 and is never for review.
        """
        own = kind(leaf)
        fit = self.kinds.get(own) if own else None
        if fit is None:
            return answer, None
        if answer.status != "answered":
            return answer, False
        softened = replace(answer, probabilities=soften(answer.probabilities, fit.temperature))
        return softened, fit.threshold is None or softened.chance < fit.threshold


class Calibrations(RootModel[dict[str, Calibration]]):
    """A model's calibrations by schema; the first is also that of every schema without one of its own.

    Where a wording has a say in the first, that under `UNHEARD` is of schemas that the wording does not speak of.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    def __str__(self) -> str:
        """All names and hashes, for what must not outlive any of them."""
        return ", ".join(map(str, self.root.values()))

    def text(self) -> str:
        """What stands in `calibration.json`."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"

    def outdated(self, wording: Wording | None) -> list[str]:
        """Name the calibrations that were fitted with something else than this wording. `grammar` never hears it."""
        found = []
        for ref, one in self.root.items():
            heard = wording if one.decode == "choice" and ref != UNHEARD else None
            if one.wording != (str(heard) if heard else None):
                found.append(ref)
        return found

    def of(self, schema: str, decode: str, *, heard: bool = True) -> Calibration | None:
        """Return what a schema's answers are calibrated by. The other decoder's probabilities mean something else.

        `heard` is whether the wording, where there is one, speaks of the schema.
        """
        alike = [one for ref, one in self.root.items() if (ref != UNHEARD) == heard]
        own = (self.root.get(schema), *alike, *self.root.values())
        return next((one for one in own if one and one.decode == decode), None)


def load(folder: Path) -> Calibrations | None:
    """Read a folder's `calibration.json`; None where there is none. Raises `StoreError` where it is damaged."""
    file = folder / FILE
    try:
        return Calibrations.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = ": ".join([*(".".join(map(str, first["loc"])),) * bool(first["loc"]), first["msg"]])
    except OSError as error:
        said = (error.strerror or type(error).__name__).lower()
    raise _unusable(f"{folder.name}/{FILE} cannot be read ({said}).")


def find_calibrations(model: str | None, wording: Wording | None = None) -> Calibrations | None:
    """Return the calibrations of a model as `open_engine` names it: an id, a folder, or the default one.

    They are the same where servers answer under the model's id: they are taken at their word.

    Raises:
        NotFoundError: the manifest has no such model.
        StoreError: the file is damaged, or of another adapter or `wording`.
    """
    if model is not None and Path(model).is_dir():
        return _of_wording(load(Path(model)), wording)
    known = entry(model or default_id())
    found = _of_wording(load(known.adapter.path if known.adapter else OF_MODELS / known.id), wording)
    for one in found.root.values() if found else ():
        if known.adapter and one.adapter_sha256 != known.adapter.sha256:
            raise _unusable(
                f"The calibration of {known.id} for {one.schema_} was fitted for another adapter."
            )
        if not known.adapter and known.gguf and one.weights_sha256 != known.gguf.sha256:
            raise _unusable(f"The calibration of {known.id} for {one.schema_} was fitted for other weights.")
    return found


def _of_wording(found: Calibrations | None, wording: Wording | None) -> Calibrations | None:
    for ref in found.outdated(wording) if found else ():
        raise _unusable(f"The calibration for {ref} was fitted with another {WORDING}, or without.")
    return found


def _unusable(detail: str) -> StoreError:
    return StoreError(
        detail,
        code="calibration_unusable",
        fix="Restore it, fit it again (python -m training calibrate), or remove it: `review` is null then.",
    )
