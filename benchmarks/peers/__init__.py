"""`choice` beside what people use now: the same machine, reports and fields (`cmr-report@1`), in one run.

    python -m benchmarks.peers                           # all peers within 40 minutes; the second half of make bench
    python -m benchmarks.peers --minutes 180 --alone 8   # enough for every figure of the slow ones
    python -m benchmarks.peers --peers choice vllm       # only these
    python -m benchmarks.peers --remake                  # the table and the plot again, from .bench/

Each peer is a process of its own, so that its memory is its own, and a crash or the end of its time is a row that
says so. What it measures goes to `.bench/NAME.jsonl` as it comes (`lines`), and from there into docs/benchmarks.md.
Nothing else may use the machine meanwhile.
"""
