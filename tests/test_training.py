"""Training asks what reading asks, learns, and goes on where it was stopped. A tiny random int8 model throughout."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from eval.cases import SETS, Case, read
from extractor.form import Leaf
from extractor.plan import bind
from extractor.report import Report
from extractor.store import locate
from extractor.store.manifest import ADAPTER_WEIGHTS
from training import adapter, loop, network
from training.askings import Encoder, released, varied
from training.examples import asked, example, pack
from training.loop import Settings, loss_of, read_prefix

SMALL = "smollm2-135m"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers as the store's converter would write it, with SmolLM2's tokenizer."""
    folder = tmp_path_factory.mktemp("tiny") / "int8"
    tokenizer = AutoTokenizer.from_pretrained(locate(SMALL).path)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=8192, initializer_range=0.1, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in LlamaForCausalLM(config).model.state_dict().items():
        if name.endswith("_proj.weight"):
            scale = value.abs().amax(dim=1, keepdim=True) / 127
            tensors |= {f"model.{name}": (value / scale).round().to(torch.int8), f"model.{name}_scale": scale}
        else:
            tensors[f"model.{name}"] = value
    config.quantization_config = {"quant_method": "compressed-tensors"}
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> Encoder:
    return Encoder(checkpoint, SMALL)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return read(SETS / "cmr-calibration")


def new_model(checkpoint: Path):
    torch.manual_seed(1)
    return network.load(checkpoint, 4, 8)


def test_questions_packed_behind_one_report_are_read_as_if_each_were_alone(checkpoint, encoder, cases):
    model, asking = new_model(checkpoint), released("cmr-report@1", encoder)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.05)  # an adapter that does something
    case = cases[0]
    plan = bind(asking.form, Report.parse(case.text), asking.terms)
    several = list(asked(case, asking.gold(case), asking.layout, plan))
    assert len(several) > 10
    base, prefix = tuple(asking.layout.open(plan)), asking.layout.prefix
    end = encoder.encode("\n")[-1]
    cached = read_prefix(model, prefix)
    with torch.no_grad():
        together = loss_of(model, cached, [pack(base, prefix, several, end)])
        alone = [loss_of(model, cached, [pack(base, prefix, [one], end)]) for one in several]
        padded = loss_of(
            model, cached, [pack(base, prefix, several, end), pack(base, prefix, several[:1], end)]
        )
    weights = [one.weight for one in several]
    mean = sum(one.item() * weight for one, weight in zip(alone, weights, strict=True)) / sum(weights)
    assert together.item() == pytest.approx(mean, rel=1e-3)
    assert padded.item() == pytest.approx(together.item() + alone[0].item(), rel=1e-3)


def test_every_answer_that_gold_gives_is_among_the_right_options(encoder, cases):
    asking = released("cmr-report@2", encoder)
    for case in cases[:20]:
        gold = asking.gold(case)
        plan = bind(asking.form, Report.parse(case.text), asking.terms)
        right = {
            one.path: {one.options[i] for i in one.right} for one in asked(case, gold, asking.layout, plan)
        }
        for question in plan.questions:
            if (
                isinstance(question.leaf, Leaf)
                and question.leaf.kind == "category"
                and question.path in right
            ):
                (option,) = [option for option in question.options if option.value == gold[question.path]]
                assert right[question.path] == set(asking.layout.ways(question, option))


def test_a_held_out_disease_is_never_offered_and_its_reports_are_other(encoder, cases):
    fabry = next(case for case in cases if case.gold.diagnosis == "fabry")
    for seed in range(20):
        asking = varied(encoder, random.Random(seed), ("fabry",))
        for leaf in asking.form.leaves():
            if isinstance(leaf, Leaf) and leaf.labels_of == "Diagnosis":
                assert "fabry" not in {option.label for option in leaf.options}
                assert asking.gold(fabry)[leaf.path] == "other"


def test_it_learns_a_report_by_heart(checkpoint, encoder, cases):
    model = new_model(checkpoint)
    asking = released("cmr-report@1", encoder)
    one = example(cases[1], asking, 12, random.Random(0))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(25):
        loss = loss_of(model, read_prefix(model, asking.layout.prefix), [one])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(checkpoint, encoder, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVED", 5)
    settings = Settings(model=SMALL, rank=4, alpha=8, steps=10, reports=4, questions=6, warmup=2)
    whole = new_model(checkpoint)
    assert len(list(loop.train(whole, encoder, cases, settings, tmp_path / "whole"))) == 3
    folder = tmp_path / "stopped"
    assert len(list(loop.train(new_model(checkpoint), encoder, cases, settings, folder, until=5))) == 2
    resumed = new_model(checkpoint)
    assert len(list(loop.train(resumed, encoder, cases, settings, folder))) == 2
    for (name, one), (_, other) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_folder_of_another_run_is_not_gone_on_with(checkpoint, encoder, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVED", 5)
    settings = Settings(model=SMALL, rank=4, alpha=8, steps=5, reports=4, questions=2)
    list(loop.train(new_model(checkpoint), encoder, cases, settings, tmp_path))
    other = Settings(model=SMALL, rank=4, alpha=8, steps=5, reports=4, questions=2, seed=7)
    with pytest.raises(ValueError, match="other settings"):
        next(loop.train(new_model(checkpoint), encoder, cases, other, tmp_path))


def test_an_epoch_reads_every_report_once(cases):
    settings = Settings(model=SMALL, reports=4)
    short = [case for case in cases if len(case.text) <= loop.LONGEST]
    steps = len(short) // loop.TOGETHER
    seen = [
        case.id for step in range(steps) for group in loop.Order(cases, settings).at(step) for case in group
    ]
    assert len(seen) == len(set(seen)) >= len(short) - loop.TOGETHER


def test_an_adapter_is_written_as_peft_reads_it(checkpoint, tmp_path):
    model = new_model(checkpoint)
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    adapter.save(parameters, 4, 8, "tiny", tmp_path)
    again = new_model(checkpoint)
    adapter.resume(again, tmp_path)
    for name, value in again.named_parameters():
        if value.requires_grad:
            assert torch.equal(value, parameters[name].detach().bfloat16().float()), name
    with pytest.raises(ValueError, match="another rank"):
        adapter.resume(network.load(checkpoint, 2, 4), tmp_path)


def test_a_run_that_goes_on_from_an_adapter_reads_what_is_left_of_the_order_first(cases):
    first, second = Settings(model=SMALL), Settings(model=SMALL, start="hash", read=16)
    full = [case for case in cases if case.gold.findings is not None]
    assert loop.Order(full, second).at(0) == loop.Order(full, first).at(2)
    read = {case.id for step in range(2) for group in loop.Order(full, first).at(step) for case in group}
    order = loop.Order(cases, second)
    steps = (len(order.full) // loop.TOGETHER + len(order.brief) // loop.TOGETHER) // 2 - 4
    ahead = {case.id for step in range(steps) for group in order.at(step) for case in group}
    assert {case.id for case in order.brief} & ahead
    assert not read & ahead


@pytest.mark.parametrize("ref", ["cmr-diagnosis@1", "cmr-report@1"])
def test_other_is_learnt_as_the_disease_that_it_is(encoder, cases, ref):
    asking = released(ref, encoder)
    fabry = next(case for case in cases if case.gold.diagnosis == "fabry")
    plan = bind(asking.form, Report.parse(fabry.text), asking.terms)
    (question,) = (q for q in asked(fabry, asking.gold(fabry), asking.layout, plan) if q.path == "diagnosis")
    assert [question.options[i] for i in question.right] == [tuple(encoder.encode(" Fabry"))]


def test_the_mean_of_two_adapters_of_one_lineage(tmp_path: Path) -> None:
    def written(name: str, value: float, rank: int = 2) -> Path:
        adapter.save({"layers.0.mlp.up_proj.lora_A": torch.full((rank, 3), value)}, rank, 4, "tiny", tmp_path / name)  # fmt: skip
        return tmp_path / name

    first, second = written("first", 1.0), written("second", 2.0)
    adapter.mean(first, second, tmp_path / "mean")
    (weights,) = load_file(tmp_path / "mean" / ADAPTER_WEIGHTS).values()
    assert weights.tolist() == [[1.5] * 3] * 2
    assert (tmp_path / "mean" / adapter.CONFIG).read_bytes() == (first / adapter.CONFIG).read_bytes()
    with pytest.raises(ValueError, match="rank"):
        adapter.mean(first, written("third", 1.0, rank=4), tmp_path / "mean")


def test_only_reports_of_a_length_are_read_and_long_ones_where_one_question_is_asked():
    order = loop.Order(read(SETS / "cmr-train"), Settings(model=SMALL, shortest=600))
    full, brief = ([len(case.text) for case in some] for some in (order.full, order.brief))
    assert min(full + brief) >= 600
    assert max(full) <= loop.LONGEST < max(brief) <= loop.LONGEST_ALONE


def test_only_reports_of_the_authors_named_are_read():
    cases = read(SETS / "cmr-train")
    order = loop.Order(cases, Settings(model=SMALL, authors=("b1", "f1"), shortest=600))
    assert {case.author for case in order.full + order.brief} == {"b1", "f1"}
    with pytest.raises(ValueError, match="authors"):
        loop.Order(cases, Settings(model=SMALL, authors=("nobody",)))
