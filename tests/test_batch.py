"""`extractor batch`: tables and folders in, one file out, whatever happens in between."""

import csv
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

import extractor.pipeline
from extractor.batch import flat
from extractor.batch.journal import Journal
from extractor.batch.output import Output
from extractor.batch.progress import line
from extractor.batch.rows import Row, open_source
from extractor.batch.run import Batch, answered
from extractor.errors import EngineError, ExtractorError, InputError, ReportError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction, FieldResult, Provenance, Usage
from schemas import registry
from schemas.leaves import leaves, nest
from tests.batches import CANARY, SHORT, check_read_as_alone, rows_done, run

TEXTS = ["LVEF 62 %, no oedema.\nNo LGE.", 'Dilated LV; "thin" septum.', "Ödem, Spätanreicherung: 3 Segmente"]
WANTED = [("a", TEXTS[0]), ("b", TEXTS[1]), ("17", TEXTS[2])]


def rows(path: Path, text: str | None = None, id_: str | None = None) -> list[Row]:
    return list(open_source(path, text, id_).rows(lambda _: True))


def codes(found: Sequence[Row]) -> list[str | None]:
    return [row.text.code if isinstance(row.text, ExtractorError) else None for row in found]


# --- inputs ---


def a_csv(path: Path, lines: Sequence[Sequence[Any]], separator: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(lines)


def a_table(path: Path, pairs: Sequence[tuple[str, Any]]) -> Path:
    lines = [("id", "site", "text"), *((id_, "ward 3", text) for id_, text in pairs)]
    match path.suffix:
        case ".csv":
            a_csv(path, lines, ";")
        case ".tsv":
            a_csv(path, lines, "\t")
        case ".jsonl":
            path.write_bytes(
                b"\n".join(orjson.dumps(dict(zip(lines[0], one, strict=True))) for one in lines[1:])
            )
        case ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            parquet.write_table(
                pa.Table.from_pylist([dict(zip(lines[0], one, strict=True)) for one in lines[1:]]), path
            )
        case ".xlsx":
            from openpyxl import Workbook

            book = Workbook()
            for one in lines:
                book.worksheets[0].append(one)
            book.save(path)
    return path


def a_pdf(path: Path, text: str) -> Path:
    """The smallest PDF of one page; its text is drawn in Helvetica."""
    drawn = f"BT /F 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1") if text else b""
    page = b"/Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >>"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< " + page + b" >>",
        b"<< /Length %d >> stream\n%b\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(data))
        data += b"%d 0 obj %b endobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(data)
    path.write_bytes(data + b"xref\n0 6\n0000000000 65535 f \n" + table + end)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".xlsx"])
def test_a_table_gives_its_texts_and_ids_in_order(tmp_path, suffix):
    source = open_source(a_table(tmp_path / f"reports{suffix}", WANTED))
    found = list(source.rows(lambda _: True))
    assert [(row.id, row.text) for row in found] == WANTED
    assert [row.position for row in source.rows(lambda position: position != 1)] == [0, 2]
    assert source.count() == 3


def test_a_folder_gives_a_report_a_file(tmp_path):
    from docx import Document

    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "Ödem.txt").write_text(TEXTS[2], "utf-8")
    (tmp_path / "notes.md").write_text("no report")
    (tmp_path / "~$b.docx").write_text("what Word leaves behind")
    a_pdf(tmp_path / "a.PDF", "LVEF 31 %, Ödem.")
    document = Document()
    document.add_paragraph("Linear mid-wall LGE.")
    table = document.add_table(rows=3, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Volumes"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "LVEDV"
    table.cell(1, 1).text, table.cell(2, 1).text = "240 ml", "120 ml/m²"
    document.add_paragraph("No thrombus.")
    document.save(str(tmp_path / "b.docx"))
    found = rows(tmp_path)
    assert [row.id for row in found] == ["a.PDF", "b.docx", "ward/Ödem.txt"]
    assert str(found[0].text).strip() == "LVEF 31 %, Ödem."
    assert found[1].text == "Linear mid-wall LGE.\nVolumes\nLVEDV\t240 ml\n\t120 ml/m²\nNo thrombus."
    assert found[2].text == TEXTS[2]


def test_a_file_that_cannot_be_read_is_its_rows_error(tmp_path):
    a_pdf(tmp_path / "scan.pdf", "")
    for name in ("broken.docx", "broken.pdf", "latin.txt"):
        (tmp_path / name).write_bytes(f"{CANARY} Ödem".encode("latin-1"))
    found = rows(tmp_path)
    assert codes(found) == ["report_unreadable", "report_unreadable", "report_not_utf8", "report_empty"]
    assert "OCR" in str(found[3].text)
    assert CANARY not in "".join(str(row.text) for row in found)


def test_bad_rows_of_a_csv_are_errors_and_the_others_are_read(tmp_path):
    path = tmp_path / "reports.csv"
    good = "3,No LGE.\n"
    path.write_bytes(
        b"id,text\n1," + "Ödem".encode("latin-1") + b"\n2,LVEF 31 %, no oedema\n" + good.encode()
        + b'4,"thin" septum\n\n5\n6,"never closed\n'
    )  # fmt: skip
    found = rows(path)
    assert codes(found) == ["report_not_utf8", "row_broken", None, "row_broken", None, "row_broken"]
    assert (found[2].id, found[2].text) == ("3", "No LGE.")
    assert (found[4].id, found[4].text) == ("5", "")


def test_bad_lines_of_jsonl_are_errors_and_the_others_are_read(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_bytes(
        b'{"text": "No LGE.", "id": 7}\n{"text": 62}\n[1]\n{"text": "\xd6dem"}\n\n{"id": "x"}\n{"text": "cut'
    )
    found = rows(path)
    assert codes(found) == [None, "report_not_text", "row_broken", "report_not_utf8", None, "row_broken"]
    assert [(row.id, row.text) for row in (found[0], found[4])] == [("7", "No LGE."), ("x", "")]


def test_an_id_that_the_first_line_lacks_is_not_lost(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        '{"text": "one"}\n{"id": "A", "text": "two"}\n{"text": "three", "id": "B"}'
    )
    assert [(row.id, row.text) for row in rows(tmp_path / "r.jsonl")] == [
        ("1", "one"),
        ("A", "two"),
        ("B", "three"),
    ]


@pytest.mark.parametrize("headings", [("id", "text", "id"), ("text", "id", "text")])
def test_two_columns_of_one_name_are_refused(tmp_path, headings):
    a_csv(tmp_path / "r.csv", [headings, ("1", "2", "3")])
    with pytest.raises(InputError) as raised:
        rows(tmp_path / "r.csv")
    assert raised.value.code == "batch_column"


def test_a_line_break_of_a_sheet_is_read_as_one(tmp_path):
    found = rows(a_table(tmp_path / "r.xlsx", [("a", "LVEF 31 %._x000D_\nNo LGE.")]))
    assert found[0].text == "LVEF 31 %.\r\nNo LGE."


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_a_cell_that_is_no_text_is_its_rows_error(tmp_path, suffix):
    values = [62, 63] if suffix == ".parquet" else [62, "No LGE."]
    found = rows(a_table(tmp_path / f"r{suffix}", [("a", values[0]), ("b", values[1])]))
    assert codes(found)[0] == "report_not_text"


def test_the_texts_column_is_found_or_asked_for(tmp_path):
    path = tmp_path / "reports.csv"
    a_csv(path, [("Nr", "Befund", "comment"), ("1", "No LGE.", "x")])
    assert rows(path)[0].text == "No LGE."
    assert [(row.id, row.text) for row in rows(path, "comment", "Nr")] == [("1", "x")]
    a_csv(path, [("ID", "what"), ("9", "No LGE.")])
    assert [(row.id, row.text) for row in rows(path)] == [("9", "No LGE.")]
    a_csv(path, [("ID", "what", "who"), ("9", "No LGE.", "me")])
    for options in ({}, {"text": "whom"}, {"text": "what", "id_": "nobody"}):
        with pytest.raises(InputError, match="Columns: ID, what, who") as raised:
            rows(path, **options)
        assert raised.value.code == "batch_column"


@pytest.mark.parametrize("first", [("1", f"{CANARY}. No LGE."), (f"{CANARY}. LVEF 31 %.",)])
def test_a_first_line_that_is_a_report_is_no_heading(tmp_path, first):
    a_csv(tmp_path / "reports.csv", [first, first])
    answer = run(tmp_path / "reports.csv", tmp_path / "out.csv")
    assert (answer.exit_code, CANARY in answer.output) == (1, False)
    assert "must hold headings" in answer.stderr
    assert not (tmp_path / "out.csv.journal").exists()


@pytest.mark.parametrize(
    "name", ["reports.xlsx", "reports.parquet", "reports.jsonl", "reports.csv", "reports.txt"]
)
def test_a_broken_or_strange_input_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00\xff" + CANARY.encode())
    answer = run(tmp_path / name, tmp_path / "out.csv")
    assert (answer.exit_code, len(answer.stderr.splitlines()), CANARY in answer.output) == (1, 1, False)
    assert "unexpected" not in answer.stderr


# --- the journal ---

RECORDS = [{"id": str(n), "error": "report_empty" if n % 4 == 3 else None, "text": "ä" * n} for n in range(9)]


def a_journal(path: Path, positions: Sequence[int] = range(9)) -> None:
    with Journal(path) as journal:
        journal.agree(input=1, decode="choice")
        journal.append((n, RECORDS[n]) for n in positions)


def test_a_disk_that_is_full_is_said_to_be(tmp_path):
    """The limit of a file's size stands for the disk's: a write fails in the middle of a row, and closing fails again."""
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300));"
    )
    code = (
        "from pathlib import Path; from extractor.batch.journal import Journal; from extractor.errors import InputError\n"
        f"try:\n with Journal(Path({str(tmp_path / 'j')!r})) as j: j.append([(0, {{'a': 'x' * 9000}})])\n"
        "except InputError as error: print(error.code)"
    )
    answer = subprocess.run([sys.executable, "-c", limit + code], capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.returncode) == ("batch_unwritable", 0), answer.stderr


@pytest.mark.parametrize(("tail", "step"), [(b"", 1), (b"\0" * 40, 5), (b'{"row": 5}\n', 5)])
def test_cut_anywhere_it_goes_on_with_every_row_once(tmp_path, tail, step):
    whole = tmp_path / "whole"
    a_journal(whole, [*range(5), 8, 7, 6, 5])
    path = tmp_path / "journal"
    data = whole.read_bytes()
    for end in range(0, len(data), step):
        path.write_bytes(data[:end] + (tail if end > 60 else b""))
        with Journal(path) as journal:
            journal.agree(input=1, decode="choice")
            missing = [n for n in range(9) if not journal.has(n)]
            assert len(missing) + journal.done == 9
            journal.append((n, RECORDS[n]) for n in missing)
            assert list(journal.records()) == RECORDS
        with Journal(path) as journal:
            assert (journal.done, journal.failed) == (9, 2)


def test_rows_of_something_else_are_refused(tmp_path):
    a_journal(tmp_path / "journal")
    with Journal(tmp_path / "journal") as journal, pytest.raises(InputError, match="another decode"):
        journal.agree(input=1, decode="grammar")
    with Journal(tmp_path / "journal", restart=True) as journal:
        journal.agree(input=1, decode="grammar")
        assert not journal.has(0)
        journal.agree(input=2)  # nothing is done yet
    with Journal(tmp_path / "journal") as journal:
        assert journal.facts == {"input": 2, "decode": "grammar"}


def test_one_process_at_a_time(tmp_path):
    with Journal(tmp_path / "journal"), pytest.raises(InputError, match="Another process") as raised:
        Journal(tmp_path / "journal")
    assert raised.value.code == "batch_locked"
    Journal(tmp_path / "journal").__exit__(None, None, None)


def test_a_strangers_file_is_left_alone(tmp_path):
    (tmp_path / "journal").write_text("mine\n")
    for restart in (False, True):
        with pytest.raises(InputError, match="no journal"):
            Journal(tmp_path / "journal", restart=restart)
    assert (tmp_path / "journal").read_text() == "mine\n"


# --- outputs ---


def a_result() -> Extraction:
    """Every category has its first label, every measurement is not stated, but for one."""
    schema = registry.get("cmr-report@2")
    data: dict[str, Any] = {}
    for path, leaf in leaves(schema.model).items():
        by_kind = {"category": next(iter(leaf.labels)), "list": ["apex", "mid_anterior"]}
        data[path] = by_kind.get(leaf.kind, "not_stated")
    data["measurements.lvef"] = {"text": "58 %", "value": 58.0, "unit": "%", "start": 0, "end": 4}
    return Extraction(
        id="a",
        schema=schema.ref,
        data=nest(schema.model, data),
        fields={
            path: FieldResult(value=value, probability=0.75, status="answered")
            for path, value in data.items()
        },
        provenance=Provenance(
            extractor="1",
            schema=schema.ref,
            prompt="p",
            decode="choice",
            model="m",
            weights_sha256=None,
            precision="int8",
            adapter=None,
            engine="e",
        ),
        usage=Usage(prompt_tokens=9, cached_tokens=0, output_tokens=0, parts=1),
    )


BAD = ReportError("The report holds no text.", code="report_empty", field="text", fix="Send one.")


def written(path: Path, *, probabilities: bool = False) -> Path:
    output = Output(path, registry.get("cmr-report@2").model, probabilities)
    output.write([output.record("a", a_result()), output.record("-5", BAD)], {"model": "m"})
    return path


def test_json_lines_are_what_the_api_returns(tmp_path):
    good, bad = map(orjson.loads, written(tmp_path / "out.jsonl").read_bytes().splitlines())
    assert Extraction.model_validate(good) == a_result()
    assert bad == {"id": "-5", "error": BAD.problem()}


def test_csv_has_a_column_a_field(tmp_path):
    with written(tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        good, bad = csv.DictReader(file)
    assert list(good)[:4] == ["id", "error", "error_detail", "diagnosis"]
    assert good["measurements.lvef"] == "58.0"
    assert good["measurements.lvedv"] == ""
    assert good["findings.lge_segments"] == "apex|mid_anterior"
    assert (bad["id"], bad["error"]) == ("-5", "report_empty")
    assert set(bad.values()) == {"-5", "report_empty", "The report holds no text. Send one.", ""}


def test_parquet_columns_have_types(tmp_path):
    from pyarrow import parquet

    table = parquet.read_table(written(tmp_path / "out.parquet", probabilities=True))
    good, bad = table.to_pylist()
    assert good["measurements.lvef"] == 58.0
    assert good["measurements.lvef.probability"] == 0.75
    assert good["findings.lge_segments"] == ["apex", "mid_anterior"]
    assert good["previous.lvef"] is None
    assert (bad["error"], bad["diagnosis"], bad["diagnosis.probability"]) == ("report_empty", None, None)
    assert orjson.loads(table.schema.metadata[b"extractor"]) == {"model": "m"}


def test_every_schema_has_a_flat_form():
    for entry in registry.all_versions():
        assert len(flat.columns(entry.model, probabilities=True)) > len(flat.HEAD)


def test_an_output_that_is_there_or_of_a_strange_kind_is_refused(tmp_path):
    source = a_table(tmp_path / "in.csv", WANTED)
    (tmp_path / "out.csv").write_text("mine")
    assert "exists already" in run(source, tmp_path / "out.csv").stderr
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert run(source, tmp_path / "out.ods").exit_code == 2
    assert run(source, source, "--restart").exit_code == 2
    assert "cannot be written" in run(source, tmp_path / "nowhere" / "out.csv").stderr


# --- the run, without an engine ---


def test_what_needs_no_engine_opens_none(tmp_path, monkeypatch):
    monkeypatch.setattr(extractor.pipeline, "open_extractor", None)
    (tmp_path / "in.jsonl").write_text('{"text": 62}\n{"text": []}\n')
    answer = run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert answer.exit_code == 1
    assert answer.stderr == "2 of 2 rows failed; see the error column of out.jsonl.\n"
    assert [orjson.loads(each)["id"] for each in (tmp_path / "out.jsonl").read_bytes().splitlines()] == [
        "1",
        "2",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_a_server_that_is_not_there_ends_the_run_and_keeps_the_rows(tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text('{"text": 62}\n{"text": "No LGE."}\n')
    command = (source, output, "--batch-size", 1, "--url", "http://127.0.0.1:9")
    for _ in range(2):
        answer = run(*command)
        assert answer.exit_code == 1
        assert "Rows kept: 1." in answer.stderr
        assert not output.exists()
    source.write_text('{"text": 62}\n{"text": 63}\n{"text": 64}\n')
    assert "begun with another input" in run(*command).stderr
    assert run(*command, "--restart").stderr == "3 of 3 rows failed; see the error column of out.csv.\n"


WRITER = """
import sys
from pathlib import Path
from extractor.batch.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    journal.agree(input=1)
    for first in range(0, 100_000, 7):
        journal.append((n, {"id": str(n)}) for n in range(first, first + 7) if not journal.has(n))
"""


def test_killed_at_any_moment_no_row_is_lost_or_doubled(tmp_path):
    path, done = tmp_path / "journal", 0
    for delay in (0.0, 0.03, 0.01, 0.1, 0.05):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
            grown = path.stat().st_size if path.exists() else 0
            while not path.exists() or path.stat().st_size <= grown:
                time.sleep(0.001)
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        with Journal(path) as journal:
            found = [int(record["id"]) for record in journal.records()]
            assert found == list(range(len(found)))
            assert len(found) >= done
            done = len(found)
    assert done > 0


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(count: int) -> float:
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            file.writelines(f'{{"id": "{n}", "text": {n}}}\n' for n in range(count))
        output = Output(tmp_path / f"{count}.csv", registry.get("cmr-diagnosis@1").model)
        tracemalloc.start()
        with Journal(tmp_path / f"{count}.journal") as journal:
            Batch(
                source=open_source(path),
                journal=journal,
                output=output,
                opened=lambda: pytest.fail("no row has a text"),
                schema="cmr-diagnosis@1",
                size=500,
            ).read(lambda _done, _failed: None)
            output.write(journal.records(), {})
        reached = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert output.path.read_bytes().count(b"\n") == count + 1
        return reached / 2**20

    small = peak(2_000)
    assert peak(60_000) - small < 2  # MiB; a row's place in the journal takes 8 bytes


def test_the_log_says_how_long_it_takes():
    assert line(1_200, 10_000, 3, 200, 10) == "1,200 of 10,000 rows, 3 failed, 0:07:20 left"
    assert line(5, None, 0, 5, 10) == "5 rows"


# --- with the tiny model, in this process ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tiny_extractor: Extractor) -> None:
    """Let the command use the session's engine, and leave it open."""

    def open_extractor(_model: str | None, _urls: Sequence[str]) -> Any:
        left_open = SimpleNamespace(close=lambda: None)
        names = ("extract", "prepare", "info", "calibrations", "wording")
        return SimpleNamespace(engine=left_open, **{name: getattr(tiny_extractor, name) for name in names})

    monkeypatch.setattr(extractor.pipeline, "open_extractor", open_extractor)


@pytest.mark.engine
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx", ""])
def test_every_kind_of_input_is_read_as_extract_reads_it(tmp_path, opened, tiny_extractor, suffix):
    source = tmp_path / f"reports{suffix}"
    if suffix:
        a_table(source, WANTED)
    else:
        source.mkdir()
        for id_, text in WANTED:
            (source / id_).with_suffix(".txt").write_text(text, "utf-8")
    answer = run(source, tmp_path / "out.jsonl", *SHORT)
    assert (answer.exit_code, answer.stderr) == (0, "Rows in out.jsonl: 3.\n")
    found = [
        Extraction.model_validate_json(each) for each in (tmp_path / "out.jsonl").read_bytes().splitlines()
    ]
    texts = {id_ if suffix else f"{id_}.txt": text for id_, text in WANTED}
    assert {one.id for one in found} == texts.keys()
    for one in found:
        (alone,) = tiny_extractor.extract([Job(texts[str(one.id)], "cmr-diagnosis@1", id=one.id)])
        assert one.data == alone.data


@pytest.mark.engine
def test_bad_rows_are_counted_and_quoted_nowhere(tmp_path, opened):
    texts = [TEXTS[0], " ", f"{CANARY}\x00", f"{CANARY} " * 20_000, TEXTS[1]]
    source = a_table(tmp_path / "in.jsonl", [(str(n), text) for n, text in enumerate(texts)])
    answer = run(source, tmp_path / "out.csv", *SHORT, "--batch-size", 2, "--probabilities")
    assert (answer.exit_code, answer.stderr) == (1, "3 of 5 rows failed; see the error column of out.csv.\n")
    said = (tmp_path / "out.csv").read_text("utf-8-sig")
    found = list(csv.DictReader(said.splitlines()))
    bad = ["", "report_empty", "report_control_characters", "report_too_long", ""]
    assert [(row["id"], row["error"]) for row in found] == list(zip("01234", bad, strict=True))
    assert 0 < float(found[0]["diagnosis.probability"]) <= 1
    assert CANARY not in said


class Breaks:
    """The tiny engine, but for prompts that hold one token: as a server that refuses a report."""

    def __init__(self, engine: Any, refused: int | None, code: str = "engine_failed") -> None:
        self.engine, self.refused, self.code = engine, refused, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def score(self, asks: Sequence[Any]) -> Any:
        if self.refused is None or any(self.refused in ask.prompt for ask in asks):
            raise EngineError("vLLM failed.", code=self.code)
        return self.engine.score(asks)


@pytest.mark.engine
def test_a_report_that_breaks_the_engine_is_an_error_in_its_own_place(tiny_engine):
    jobs = [Job(text, "cmr-diagnosis@1") for text in (TEXTS[0], "LVEF 31 % ☃", TEXTS[1])]
    token = tiny_engine.encode("☃")[-1]
    first, second, third = answered(Extractor(Breaks(tiny_engine, token)), jobs)
    assert isinstance(first, Extraction)
    assert isinstance(second, EngineError)
    assert isinstance(third, Extraction)
    with pytest.raises(EngineError):  # an engine that reads nothing is not the reports' fault
        list(answered(Extractor(Breaks(tiny_engine, None)), jobs))
    refusing = Extractor(Breaks(tiny_engine, token, "engine_refused"))  # known to be the report's own fault
    assert [type(one) for one in refusing.extract(jobs)] == [Extraction, EngineError, Extraction]


# --- the real command, killed and started again ---


@pytest.mark.engine
@pytest.mark.slow
def test_killed_twice_it_ends_as_if_it_had_not_been(tmp_path, tiny_model_dir, tiny_extractor):
    pairs = [(str(n), f"{CANARY} {n}. LVEF {30 + n} %. No LGE." if n % 10 else "") for n in range(60)]
    source = a_table(tmp_path / "in.csv", pairs)
    output = tmp_path / "out.jsonl"
    options = [*SHORT, "--batch-size", "2", "--model", str(tiny_model_dir)]
    command = [sys.executable, "-m", "extractor", "batch", str(source), str(output), *options]
    said, journal = "", tmp_path / "out.jsonl.journal"
    for kill_at in (1, 20, None):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while kill_at is not None and process.poll() is None:
                if rows_done(journal) >= kill_at:
                    process.send_signal(signal.SIGKILL)
                time.sleep(0.002)
            said += process.communicate(timeout=240)[1]
        assert process.returncode == (1 if kill_at is None else -signal.SIGKILL), said
        assert output.exists() == (kill_at is None)
    assert "Rows done already: " in said
    assert "6 of 60 rows failed" in said
    assert CANARY not in said
    check_read_as_alone(output, pairs, tiny_extractor)
    assert not journal.exists()
