"""What both executors share: a report being read, and exact probabilities over options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from extractor.engine.base import Ask, Engine
from extractor.form import Leaf
from extractor.plan import Answer, Plan, Question, best, evidence
from extractor.prompt import Layout
from extractor.trie import Tokens, branchings, probabilities
from schemas.fields import Evidence


@dataclass
class Reading:
    """One report, or one part of a long one, while it is being read. Executors fill `answers` and `evidence`.

    `shifts` are added to log-probabilities by path and label. Without the model being asked, `sure` are, by path and label,
    probabilities, and `shown` the plan's sentences that are evidence.
    """

    plan: Plan
    layout: Layout
    base: Tokens
    shifts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sure: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shown: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    @property
    def group(self) -> int:
        """A number that all prompts about this report share, and few others."""
        return hash(self.base) & 0xFFFF

    def settle(self, question: Question) -> bool:
        """Answer a question that needs no model, because a gate is shut or one option is left. True if so."""
        if any(self.answers[gate.path].option.label not in gate.labels for gate in question.gates):
            self.answers[question.path] = Answer.certain(question, question.otherwise, "implied")
        elif len(question.options) == 1:
            self.answers[question.path] = Answer.certain(question, question.options[0], "forced")
        return question.path in self.answers

    def shifted(self, question: Question, chances: Sequence[float]) -> tuple[float, ...]:
        """Probabilities less what the model favours a label by whatever the report says (`Calibration.shifts`)."""
        shift = self.shifts.get(question.path)
        labels = [option.label for option in question.options]
        return shifted(chances, labels, shift) if shift else tuple(chances)

    def can_cite(self, question: Question) -> bool:
        """Whether to ask for a sentence that speaks of the field: a span is its own evidence, a list has many."""
        category = isinstance(question.leaf, Leaf) and question.leaf.kind == "category"
        return category and question.path not in self.shown

    def show(self, question: Question) -> None:
        """Take the sentence that is known to be evidence for the answer, if one is."""
        if question.path in self.shown and self.stated(question):
            index = self.shown[question.path][self.answers[question.path].option.label]
            self._cite(question, index)

    def stated(self, question: Question) -> bool:
        """Whether a question was answered with something that the report says."""
        answer = self.answers.get(question.path)
        return answer is not None and answer.status != "implied" and answer.option.stated

    def source_options(self, question: Question) -> tuple[Tokens, ...]:
        """The letters of the sentences that may be evidence, as they continue a cue."""
        count = len(self.plan.sentences)
        sources = self.plan.sources(question.leaf.path)
        return tuple(self.layout.letter(index, count) for index in sources)

    def cite(self, question: Question, chances: Sequence[float]) -> None:
        """Take the likeliest of the sentences that may be evidence, if there is anything to be evidence for."""
        if not self.stated(question):
            return
        self._cite(question, self.plan.sources(question.leaf.path)[best(chances)])

    def _cite(self, question: Question, index: int) -> None:
        self.evidence[question.path] = evidence(self.plan.first + index, self.plan.sentences[index])


def shifted(chances: Sequence[float], labels: Sequence[str], shift: Mapping[str, float]) -> tuple[float, ...]:
    """Add each label's shift to its log-probability, and renormalise."""
    weights = [p * math.exp(shift.get(label, 0.0)) for p, label in zip(chances, labels, strict=True)]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


@dataclass(frozen=True)
class Choice:
    """A closed choice to be scored: after `prompt`, one of `options`, each a run of tokens."""

    reading: Reading
    prompt: Tokens
    options: tuple[Tokens, ...]


def score(engine: Engine, choices: Sequence[Choice]) -> list[tuple[float, ...]]:
    """Probabilities over each choice's options, from one batch of next-token scores at their branchings.

    Raises:
        EngineError: the engine could not answer.
    """
    end = engine.encode("\n")[-1]
    asks: list[Ask] = []
    places: list[tuple[int, Tokens]] = []
    for index, one in enumerate(choices):
        for prefix, tokens in branchings(one.options, end).items():
            asks.append(Ask(one.prompt + prefix, tokens, one.reading.group))
            places.append((index, prefix))
    logprobs: list[dict[Tokens, dict[int, float]]] = [{} for _ in choices]
    for (index, prefix), ask, scores in zip(places, asks, engine.score(asks) if asks else [], strict=True):
        logprobs[index][prefix] = dict(zip(ask.options, scores.logprobs, strict=True))
        choices[index].reading.prompt_tokens += scores.prompt_tokens
        choices[index].reading.cached_tokens += scores.cached_tokens
    return [probabilities(one.options, end, logprobs[index]) for index, one in enumerate(choices)]
