"""`python -m training`: train an adapter on annotated reports, give it a second reader, and calibrate both."""

import sys
from pathlib import Path

import click

from eval.gold import load as load_set
from extractor.options import listed
from extractor.store import default_id, entry, locate
from extractor.store.cache import sha256
from extractor.store.manifest import ADAPTER_WEIGHTS
from extractor.terminal import Boundary
from training.calibrate import calibrate
from training.wording import wording

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(cls=Boundary)
def main() -> None:
    """Train an adapter, so that a small model reads cardiac-MRI reports."""


@main.command()
@click.option("--model", default=lambda: entry(default_id()).published, show_default="the default model's base", help="A model of the store.")  # fmt: skip
@click.option(
    "--set", "name", default="cmr-train", show_default=True, help="The annotated set to learn from."
)
@click.option("--steps", default=104, show_default=True, help="Optimiser steps.")
@click.option(
    "--until",
    type=click.IntRange(min=1),
    help="Stop after this step of them, with the rates of the whole run.",
)
@click.option("--rank", default=8, show_default=True, help="LoRA's rank.")
@click.option(
    "--first", default=8, show_default=True, help="First layer that gets an adapter: backward ends there."
)
@click.option("--rate", default=3e-4, show_default=True, help="Highest learning rate.")
@click.option("--reports", default=8, show_default=True, help="Reports a step.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--alone", default=0.5, show_default=True, help="How often a step asks for nothing but the diagnosis."
)
@click.option(
    "--from",
    "start",
    type=FOLDER,
    help="An adapter to go on from.",
)
@click.option(
    "--shortest", default=0, show_default=True, help="Characters that a report must have to be read."
)
@click.option(
    "--authors",
    callback=listed,
    default="",
    metavar="A,B",
    help="Authors whose reports are read; all if none is named.",
)
@click.option(
    "--read",
    default=0,
    show_default=True,
    help="Fully labelled reports that it has read, which this run reads last.",
)
@click.option(
    "--hold-out",
    callback=listed,
    default="",
    metavar="A,B",
    help="Diagnoses that are never offered, to see whether new labels work.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path(".training/run"), show_default=True, help="Checkpoint and adapter; a stopped run goes on here.")  # fmt: skip
def train(  # noqa: PLR0913  one parameter an option
    *,
    model: str,
    name: str,
    steps: int,
    until: int | None,
    rank: int,
    first: int,
    rate: float,
    reports: int,
    seed: int,
    alone: float,
    start: Path | None,
    shortest: int,
    authors: tuple[str, ...],
    read: int,
    hold_out: tuple[str, ...],
    out: Path,
) -> None:
    """Train, or go on with what stands in --out, and write the adapter to OUT/adapter."""
    import torch

    from training import adapter, loop, network
    from training.askings import Encoder

    torch.manual_seed(seed)
    annotated = load_set(name, Path(".eval"))
    settings = loop.Settings(
        model=model, rank=rank, alpha=2 * rank, first=first, steps=steps, reports=reports, rate=rate, seed=seed,
        alone=alone, held_out=hold_out, data=annotated.sha256,
        start=sha256(start / ADAPTER_WEIGHTS) if start else "", shortest=shortest,
        authors=authors, read=read,
    )  # fmt: skip
    weights = locate(model)
    network_ = network.load(weights.path, settings.rank, settings.alpha, settings.first)
    try:
        if start:
            adapter.resume(network_, start)
        engine = Encoder(weights.path, model)
        for line in loop.train(network_, engine, annotated.cases, settings, out, until=until):
            click.echo(line)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    found = {key: value for key, value in network_.named_parameters() if value.requires_grad}
    adapter.save(found, settings.rank, settings.alpha, weights.entry.name, out / "adapter")
    click.echo(f"{out / 'adapter'}: sha256 {sha256(out / 'adapter' / ADAPTER_WEIGHTS)}")


@main.command()
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The new adapter's folder.")  # fmt: skip
def mean(first: Path, second: Path, out: Path) -> None:
    """Write the mean of two adapters, of which one went on from the other."""
    from training import adapter

    try:
        adapter.mean(first, second, out)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{out}: sha256 {sha256(out / ADAPTER_WEIGHTS)}")


main.add_command(wording)
main.add_command(calibrate)

if __name__ == "__main__":
    sys.exit(main())
