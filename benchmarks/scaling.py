"""How many machines a rate of reports takes: `python -m benchmarks.scaling`. Calculated, not measured, but for its inputs.

A report costs `--tokens` computed tokens, each of which attends to `--context` tokens; `make bench` prints both, and
`--seconds`, what a report takes in a batch on this kind of machine. On a GPU a token costs two operations a weight
(Kaplan et al., arXiv 2001.08361, section 2.1) and four a layer, query dimension and token attended to; a GPU is taken to reach `--reached` of the dense
bf16 operations a second in its maker's data sheet. Closed questions are prefill, which is bound by arithmetic and not by
memory; a service with many short batches reaches less. Measure one GPU before buying ten.
"""

import argparse
import math
from dataclasses import dataclass

RATES = (1, 100, 10_000)
"""Reports a second."""
SPARE = 0.25
"""Of a GPU's memory, for the prefix cache and what a batch needs."""


@dataclass(frozen=True)
class Shape:
    """A model: 1e9 weights in all and without embeddings, layers, query dimension (heads x head size)."""

    name: str
    weights: float
    multiplied: float
    layers: int
    queries: int

    def operations(self, tokens: int, context: int) -> float:
        """Floating-point operations of a report."""
        return tokens * (2e9 * self.multiplied + 4 * self.layers * self.queries * context)


@dataclass(frozen=True)
class Card:
    """A GPU: GB of memory, and dense bf16 operations a second in 1e12."""

    name: str
    memory: int
    speed: float

    def together(self, shape: Shape) -> int:
        """How many must hold a model between them (tensor parallel, a power of two), at 2 bytes a weight."""
        return 1 << max(0, math.ceil(math.log2(2 * shape.weights / (self.memory * (1 - SPARE)))))


# From the models' published configurations and cards.
SHAPES = (
    Shape("deepseek-r1-7b", 7.6, 6.5, 28, 28 * 128),
    Shape("mistral-7b", 7.2, 7.0, 32, 32 * 128),
    Shape("gemma-2-9b", 9.2, 8.3, 42, 16 * 256),
    Shape("gemma-2-27b", 27.2, 26.0, 46, 32 * 128),
    Shape("qwen2.5-32b, deepseek-r1-32b", 32.8, 31.0, 64, 40 * 128),
)
CARDS = (Card("L40S", 48, 362), Card("A100", 80, 312), Card("H100", 80, 989), Card("H200", 141, 989))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    arguments.add_argument("--tokens", type=int, default=423, help="computed a report")
    arguments.add_argument("--context", type=int, default=2300, help="instructions and report")
    arguments.add_argument(
        "--seconds", type=float, default=2.14, help="a report in a batch, default model, 2 cores"
    )
    arguments.add_argument("--reached", type=float, default=0.4, help="share of the data sheet's operations")
    given = arguments.parse_args()
    head = " | ".join(f"for {rate:,} a second" for rate in RATES)
    print(f"| CPU, measured | reports a second | {head} |\n|---|---|---|---|---|")
    machines = " | ".join(f"{math.ceil(rate * given.seconds):,}" for rate in RATES)
    print(f"| machines of 2 cores, qwen2.5-coder-1.5b | {1 / given.seconds:.2f} | {machines} |\n")
    print(
        f"| GPU, calculated | GPUs a replica | reports a second and replica | {head} |\n|---|---|---|---|---|---|"
    )
    for shape in SHAPES:
        for card in CARDS:
            together = card.together(shape)
            rate = (
                together * card.speed * 1e12 * given.reached / shape.operations(given.tokens, given.context)
            )
            needed = " | ".join(f"{together * math.ceil(each / rate):,}" for each in RATES)
            print(f"| {shape.name}, {card.name} | {together} | {rate:.0f} | {needed} |")


if __name__ == "__main__":
    main()
