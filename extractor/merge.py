"""One answer for each field from the parts of a long report.

The rule: a field takes its most probable stated answer; where no part states anything it takes `not_stated`. A
field behind a gate is taken from the parts that agree with the merged gate. A list is the union of the parts' lists,
likeliest part first, up to its bound.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from extractor.decode import Reading
from extractor.form import Gate, Group, Leaf, Members, Node
from extractor.lists import list_answer
from extractor.plan import Answer
from schemas.fields import Evidence

Answers = Mapping[str, Answer]


def merge(readings: Sequence[Reading]) -> tuple[Answers, Mapping[str, Evidence]]:
    """Merge a report's parts, in order. A single part is returned as it is."""
    if len(readings) == 1:
        return readings[0].answers, readings[0].evidence
    merged = _Merged(readings)
    merged.take(readings[0].plan.form.root, readings)
    return merged.answers, merged.evidence


class _Merged:
    def __init__(self, readings: Sequence[Reading]) -> None:
        self.readings = readings
        self.answers: dict[str, Answer] = {}
        self.evidence: dict[str, Evidence] = {}

    def take(self, node: Node, parts: Sequence[Reading]) -> None:
        """Answer a node from the parts that may speak for it."""
        if isinstance(node, Group):
            self._take_group(node, parts)
            return
        agreeing = self._agreeing(node.gate, parts) if node.gate else parts
        if isinstance(node, Members):
            self._take_list(node, agreeing)
        else:
            self._take_leaf(node, agreeing)

    def _agreeing(self, gate: Gate, parts: Sequence[Reading]) -> Sequence[Reading]:
        chosen = self.answers[gate.path].option
        return [part for part in parts if part.answers[gate.path].option == chosen]

    def _take_group(self, group: Group, parts: Sequence[Reading]) -> None:
        if group.presence:
            self._take_leaf(group.presence, parts)
            chosen = self.answers[group.presence.path].option
            parts = [part for part in parts if part.answers[group.presence.path].option == chosen]
        for _, node in group.children:
            if all(_known(part, node) for part in parts):
                self.take(node, parts)

    def _take_leaf(self, leaf: Leaf, parts: Sequence[Reading]) -> None:
        def rank(part: Reading) -> tuple[bool, float]:
            answer = part.answers[leaf.path]
            return answer.option.stated and answer.option.value is not False, answer.chance

        stated = max(parts, key=rank)
        if not rank(stated)[0]:
            stated = min(parts, key=rank)
        self.answers[leaf.path] = stated.answers[leaf.path]
        if leaf.path in stated.evidence:
            self.evidence[leaf.path] = stated.evidence[leaf.path]

    def _take_list(self, node: Members, parts: Sequence[Reading]) -> None:
        answers = sorted(
            (part.answers[node.path] for part in parts), key=lambda answer: answer.chance, reverse=True
        )
        values: list[Any] = []
        for answer in answers:
            values += [value for value in answer.option.value if value not in values]
        chance = min(answer.chance for answer in answers)
        self.answers[node.path] = list_answer(values[: node.high], chance)


def _known(part: Reading, node: Node) -> bool:
    return isinstance(node, Group) or node.path in part.answers
