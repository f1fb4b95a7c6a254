"""How fast a CPU multiplies in int8, float32 and bfloat16: why training keeps the frozen weights in int8.

python benchmarks/int8.py
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

ROWS = 512
SHAPES = ((1536, 8960), (8960, 1536), (896, 4864))
"""Widths in and out of linear layers of Qwen2.5 1.5B and 0.5B."""


def seconds(multiply: Callable[[], object], n: int = 9) -> float:
    times = []
    for _ in range(n + 1):
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print the ratio of each shape's median times, n = 9 in turn, on this machine."""
    print(f"{torch.get_num_threads()} threads, {ROWS} rows, torch {torch.__version__}")
    for width, out in SHAPES:
        x, weight = torch.randn(ROWS, width), torch.randn(width, out)
        x8, weight8 = (torch.randint(-127, 127, part.shape, dtype=torch.int8) for part in (x, weight))
        x16, weight16 = x.bfloat16(), weight.bfloat16()
        int8 = seconds(partial(torch._int_mm, x8, weight8))
        others = [seconds(partial(torch.matmul, a, b)) for a, b in ((x, weight), (x16, weight16))]
        print(
            f"{width} x {out}: float32 / int8 {others[0] / int8:.1f}, bfloat16 / int8 {others[1] / int8:.1f}"
        )


if __name__ == "__main__":
    main()
