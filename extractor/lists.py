"""How a bounded list of labels is answered: as one option against every other list."""

import json
import math
from collections.abc import Sequence
from typing import Any

from extractor.form import YES, Members, Option
from extractor.plan import Answer, Status


def close_list(node: Members, members: Sequence[Answer]) -> Answer:
    """Answer a list from the answers to its labels' questions, in the labels' order."""
    status = members[0].status if len({answer.status for answer in members}) == 1 else "answered"
    return likeliest_set(node, [answer.distribution.get(YES.label, 0.0) for answer in members], status)


def likeliest_set(node: Members, chance: Sequence[float], status: Status = "answered") -> Answer:
    """Answer a list from each label's probability of being in it: the likeliest set of an allowed size.

    Labels are independent given the report, so the best set of a size holds the likeliest labels. Its probability
    is among the sets of allowed size: the normaliser is the Poisson-binomial probability of such a size.
    """
    order = sorted(range(len(chance)), key=lambda i: (-chance[i], i))
    size = min(max(sum(p > 0.5 for p in chance), node.low), node.high)
    chosen = set(order[:size])
    sizes = [1.0]
    for p in chance:
        sizes = [a * (1 - p) + b * p for a, b in zip([*sizes, 0.0], [0.0, *sizes], strict=True)]
    joint = math.prod(p if i in chosen else 1 - p for i, p in enumerate(chance))
    allowed = sum(sizes[node.low : node.high + 1])
    likelihood = min(1.0, joint / allowed) if allowed else 0.0
    return list_answer([node.labels[i].value for i in sorted(chosen)], likelihood, status)


def list_option(values: Sequence[Any]) -> Option:
    """A list as one option, so that a list field is answered like any other."""
    return Option(json.dumps(list(values), ensure_ascii=False), list(values))


def list_answer(values: Sequence[Any], probability: float, status: Status = "answered") -> Answer:
    """A list against every other list."""
    option = list_option(values)
    return Answer(option, (option, Option("any other list", None)), (probability, 1 - probability), status)
