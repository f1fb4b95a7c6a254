"""What a number says where words do not: with an LVEF of 40 %, "LV dysfunction: absent" is ruled out.

A prompt file gives a finding its cut-offs, criteria that its meaning tells the model as well. A small model reads
the number and still misses what it means, so code draws that conclusion, once all questions have been answered.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from pydantic import Field, model_validator

from extractor.plan import Answer, best
from schemas.fields import Schema

_LESS: Final = frozenset("<≤")
_MORE: Final = frozenset(">≥")


class Cutoff(Schema):
    """Where the measurement `of` lies in `at_least` <= value < `below`, in its field's unit, these labels are ruled out."""

    of: str
    at_least: float | None = None
    below: float | None = None
    rules_out: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.below is None:
            raise ValueError("it needs at_least, below or both")
        return self

    def holds(self, value: Any) -> bool:
        """Whether a measurement's value is stated and lies there, all of it where it is a bound such as "< 13 mm"."""
        if not isinstance(value, dict):
            return False
        number, sign = value["value"], value["text"][:1]
        least = -math.inf if sign in _LESS else number
        most = math.inf if sign in _MORE else number
        if self.at_least is not None and least < self.at_least:
            return False
        return (
            self.below is None
            or most < self.below
            or (most == self.below and sign == "<" and value["text"][1:2] != "=")
        )


def weigh(
    answers: Mapping[str, Answer], cutoffs: Mapping[str, Sequence[Cutoff]]
) -> dict[str, tuple[Answer, Any]]:
    """Return the answers to which a number has something to say, as they are then, each with that number.

    By the law of total probability: as far as the number is likely to lie there, the labels that it rules out share their
    probability among the others. An answer to which nothing would be left stays as it is.
    """
    weighed: dict[str, tuple[Answer, Any]] = {}
    for path, several in cutoffs.items():
        for cutoff in several:
            answer = weighed[path][0] if path in weighed else answers.get(path)
            number = answers.get(cutoff.of)
            if (
                answer
                and answer.status == "answered"
                and number
                and (now := _weighed(answer, number, cutoff))
            ):
                weighed[path] = now
    return weighed


def _weighed(answer: Answer, number: Answer, cutoff: Cutoff) -> tuple[Answer, Any] | None:
    """Return an answer as it is then, with the likeliest number that lies there; None where that changes nothing."""
    pairs = zip(number.options, number.probabilities, strict=True)
    inside = [(p, option.value) for option, p in pairs if cutoff.holds(option.value)]
    chance = math.fsum(p for p, _ in inside)
    left = [p * (label not in cutoff.rules_out) for label, p in answer.distribution.items()]
    total = math.fsum(left)
    if not chance or not total:
        return None
    mixed = [
        chance * rest / total + (1 - chance) * p for rest, p in zip(left, answer.probabilities, strict=True)
    ]
    return Answer.likeliest(answer.options, mixed), inside[best([p for p, _ in inside])][1]
