"""Training: one asking and a few reports a step, the prefix read once a step without gradient, checkpoints, exact resuming."""

import json
import math
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from eval.cases import Case
from training.askings import AT_FIRST, LATER, Asking, Encoder, varied
from training.examples import Example, example
from training.network import logits

TOGETHER = 4
"""Reports in one forward pass."""
VARIED = 40
"""Steps of a new adapter that ask in many ways; those after them ask mostly as released schemas do."""
SAVED = 10
"""Steps from one checkpoint to the next."""
LONGEST, LONGEST_ALONE = 1200, 2000
"""Characters of a report that is learnt from, and of one of which only the diagnosis is labelled: 16 questions take as much
memory as 800 characters do.
"""
WINDOW = 64
"""Reports among which those of like length are put together, so that little is padded."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of; a run resumes only under the same."""

    model: str
    rank: int = 8
    alpha: float = 16
    first: int = 0
    steps: int = 104
    reports: int = 8
    questions: int = 16
    rate: float = 3e-4
    warmup: int = 8
    seed: int = 1
    alone: float = 0.5
    held_out: tuple[str, ...] = ()
    data: str = ""
    start: str = ""
    """Hash of the adapter that the run goes on from; one that has learnt to read labels."""
    shortest: int = 0
    """Characters that a report must have."""
    authors: tuple[str, ...] = ()
    """Whose reports are read; everybody's if none is named."""
    read: int = 0
    """Fully labelled reports that it has read, in the order of this seed."""


def loss_of(model: Any, cached: Any, several: Sequence[Example]) -> torch.Tensor:
    """Sum over reports of the weighted mean, over their questions, of the negative log-probability that reading would give
    to the right option. `cached` is what `read_prefix` returned for the prefix that all of them share.
    """
    ids, positions, question = (
        _padded([getattr(one, name) for one in several], fill) for name, fill in _FILLED
    )
    size, before = ids.shape[1], len(several[0].prefix)
    own = (question[:, :, None] == question[:, None, :]) | (question == 0)[:, None, :]
    seen = torch.cat([torch.ones(len(several), size, before, dtype=torch.bool), own.tril()], dim=2)
    cache = DynamicCache()
    for index, layer in enumerate(cached.layers):
        cache.update(*(part.expand(len(several), -1, -1, -1) for part in (layer.keys, layer.values)), index)
    hidden = model(
        input_ids=ids, attention_mask=seen[:, None], position_ids=positions, past_key_values=cache, use_cache=True
    ).last_hidden_state  # fmt: skip
    rows = [(row, target) for row, one in enumerate(several) for target in one.targets]
    tokens = sorted({token for _, target in rows for token in target.tokens})
    column = {token: i for i, token in enumerate(tokens)}
    at = hidden[torch.tensor([row for row, _ in rows]), torch.tensor([target.place for _, target in rows])]
    losses = []
    for (row, target), scores in zip(rows, logits(model, at, torch.tensor(tokens)), strict=True):
        allowed = scores[torch.tensor([column[token] for token in target.tokens])]
        right = allowed[torch.tensor(target.right)]
        losses.append((allowed.logsumexp(0) - right.logsumexp(0)) * (target.weight / several[row].weight))
    return torch.stack(losses).sum()


_FILLED = (("tokens", 0), ("positions", 0), ("question", -1))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def read_prefix(model: Any, prefix: Sequence[int]) -> Any:
    """Keys and values of the prefix under the adapter as it is now; no gradient flows through them."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([prefix]), use_cache=True).past_key_values


def rate_at(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine down to a tenth."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


class Order:
    """Which reports a step reads: every report once an epoch, those of a micro-batch of much the same length and all of
    them with findings labelled or none, so that little is padded.

    Raises:
        ValueError: too few reports have the length and the authors asked for.
    """

    def __init__(self, cases: Sequence[Case], settings: Settings) -> None:
        wanted = settings.authors
        long = [c for c in cases if len(c.text) >= settings.shortest and (not wanted or c.author in wanted)]
        self.full = [case for case in long if case.gold.findings is not None and len(case.text) <= LONGEST]
        self.brief = [
            case
            for case in long
            if case.gold.findings is None and case.gold.diagnosis and len(case.text) <= LONGEST_ALONE
        ]
        if not len(self.full) // TOGETHER + len(self.brief) // TOGETHER:
            raise ValueError(
                f"not {TOGETHER} labelled reports of at most {LONGEST} characters: shorten them, lower --shortest, or name other --authors"
            )
        self.settings = settings

    def at(self, step: int) -> list[list[Case]]:
        groups = self.settings.reports // TOGETHER
        return [self._group(place) for place in range(step * groups, (step + 1) * groups)]

    def _group(self, place: int) -> list[Case]:
        epoch, place = divmod(place, len(self.full) // TOGETHER + len(self.brief) // TOGETHER)
        dice = random.Random(f"{self.settings.seed} epoch {epoch}")
        full, brief = self._groups(self.full, dice), self._groups(self.brief, dice)
        read = self.settings.read // TOGETHER if epoch == 0 else 0
        ahead = [iter(full[read:])] * len(full[read:]) + [iter(brief)] * len(brief)
        return [*(next(one) for one in dice.sample(ahead, len(ahead))), *full[:read]][place]

    def _groups(self, cases: Sequence[Case], dice: random.Random) -> list[list[Case]]:
        shuffled = dice.sample(cases, len(cases))
        windows = [shuffled[start : start + WINDOW] for start in range(0, len(shuffled), WINDOW)]
        ordered = [case for window in windows for case in sorted(window, key=lambda one: len(one.text))]
        groups = [ordered[start : start + TOGETHER] for start in range(0, len(ordered), TOGETHER)]
        return dice.sample(groups, len(groups))


def train(  # noqa: PLR0913
    model: Any,
    engine: Encoder,
    cases: Sequence[Case],
    settings: Settings,
    folder: Path,
    *,
    until: int | None = None,
) -> Generator[str]:
    """Train the adapter in `model`, and yield how far it is. `folder/state.pt` is written every `SAVED` steps; if it is
    there, training goes on from it, and ends as if it had not been stopped: after all steps, or already `until` some step.

    Raises:
        ValueError: the folder holds a run of other settings.
    """
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.rate, weight_decay=0.0, betas=(0.9, 0.98))
    folder.mkdir(parents=True, exist_ok=True)
    state, first = folder / "state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        if saved["settings"] != json.dumps(asdict(settings), sort_keys=True):
            raise ValueError(f"{folder} holds a run of other settings: choose another folder")
        model.load_state_dict(saved["adapter"], strict=False)
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]
    order, started, recent = Order(cases, settings), time.monotonic(), []
    learnt = len(order.full) + len(order.brief)
    yield (
        f"{learnt} of {len(cases)} reports are learnt from; no others, nor longer ones "
        f"({LONGEST} characters, {LONGEST_ALONE} where only the diagnosis is labelled)"
    )
    varied_steps = 0 if settings.start else VARIED
    last = min(settings.steps, until or settings.steps)
    for step in range(first, last):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, settings)
        dice = _dice(settings, step)
        shares = AT_FIRST if step < varied_steps else LATER
        asking = varied(engine, dice, settings.held_out, shares, settings.alone)
        recent.append(_step(model, asking, order.at(step), settings, dice))
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % SAVED == 0 or step + 1 == last:
            _save(state, parameters, optimiser, settings, step + 1)
        if (step + 1) % 5 == 0:
            pace = (time.monotonic() - started) / (step + 1 - first)
            mean = sum(recent[-20:]) / len(recent[-20:])
            left = (last - step - 1) * pace / 60
            yield f"step {step + 1} of {last}: loss {mean:.3f}, {pace:.1f} s a step, {left:.0f} min left"


def _step(
    model: Any, asking: Asking, groups: Sequence[Sequence[Case]], settings: Settings, dice: random.Random
) -> float:
    """Add the gradient of one step's reports, and return their mean loss."""
    cached = read_prefix(model, asking.layout.prefix)
    total = 0.0
    for cases in groups:
        several = [example(case, asking, settings.questions, dice) for case in cases]
        if several := [one for one in several if one.targets]:
            loss = loss_of(model, cached, several) / settings.reports
            loss.backward()
            total += loss.item()
    return total


def _dice(settings: Settings, step: int) -> random.Random:
    return random.Random(f"{settings.seed} step {step}")


def _save(path: Path, parameters: dict[str, Any], optimiser: Any, settings: Settings, step: int) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "adapter": dict(parameters),
            "optimiser": optimiser.state_dict(),
            "settings": json.dumps(asdict(settings), sort_keys=True),
            "step": step,
        },
        partial,
    )
    partial.replace(path)
