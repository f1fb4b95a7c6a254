"""A hospital's own table in, an empty sheet out, a filled one back: through the command line."""

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import openpyxl
import pytest
from click.testing import CliRunner, Result
from pydantic import Field

import eval.cli
from eval.cases import read
from eval.gold import load
from eval.importer import _own, cell_value
from eval.sheets import read as read_table
from extractor.compile import compile_form
from schemas import registry
from schemas.fields import Finding, Measure, Measured, Schema

CANARY = "Xylocanary"
ROWS = [
    {
        "Nr": "17",
        "Befund": "EF 31 %. Narbe, subendokardial.",
        "Diagnose": "KHK",
        "EF": "31,0",
        "LGE": "present",
    },
    {"Nr": "18", "Befund": "Normal; EF 60 %.", "Diagnose": "normal", "EF": "60", "LGE": ""},
    {"Nr": "19", "Befund": "Kein LGE.", "Diagnose": "", "EF": "", "LGE": "absent"},
]
MAPPED = [
    *("--map", "id=Nr", "--map", "text=Befund", "--map", "diagnosis=Diagnose"),
    *(
        "--map",
        "measurements.lvef=EF",
        "--map",
        "findings.lge=LGE",
        "--label",
        "KHK=ischaemic",
        "--language",
        "de",
    ),
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(eval.cli.main, [str(one) for one in arguments], prog_name="python -m eval")


def write_csv(path: Path, rows: list[dict[str, Any]], separator: str = ";") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_xlsx(path: Path, rows: list[dict[str, Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
        book.worksheets[0].append(row)
    book.save(path)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- import ---


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", write_csv), ("a.xlsx", write_xlsx), ("a.jsonl", write_jsonl)]
)
def test_a_table_becomes_a_set_that_is_scored(tmp_path, name, write):
    file, out = write(tmp_path / name, ROWS), tmp_path / "out"
    made = run("import", file, "--name", "ours", *MAPPED, "--out", out)
    assert made.exit_code == 0, made.stderr
    assert "3 reports, gold for diagnosis, measurements.lvef, findings.lge" in made.stdout
    ours = load("ours", out)
    assert [case.id for case in ours.cases] == ["17", "18", "19"]
    assert {case.language for case in ours.cases} == {"de"}
    gold = [ours.gold(case, "cmr-report@1") for case in ours.cases]
    assert gold[0] == {"diagnosis": "ischaemic", "measurements.lvef": 31.0, "findings.lge": "present"}
    assert gold[1] == {"diagnosis": "normal", "measurements.lvef": 60.0, "findings.lge": "not_stated"}
    assert gold[2] == {"measurements.lvef": "not_stated", "findings.lge": "absent"}, (
        "nobody labelled its diagnosis"
    )
    scored = run("--no-model", "--baselines", "keywords", "--sets", "ours", "--out", out)
    assert scored.exit_code == 0, scored.stderr
    (result,) = json.loads((out / "report/results.json").read_text())["sets"][0]["runs"]
    assert list(result["fields"]) == ["diagnosis", "findings.lge", "measurements.lvef"]
    assert result["diagnosis"]["accuracy"]["n"] == 2


def test_a_table_with_a_schema_of_its_own_is_scored_under_it_and_its_older_one(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_added", [])
    site, out = Path(__file__).parents[1] / "examples" / "site", tmp_path / "out"
    rows = [
        {"id": 1, "text": "Danon disease. HCM excluded. LVEF 31 %.", "diagnosis": "Danon"},
        {"id": 2, "text": "Hypertrophic cardiomyopathy.", "diagnosis": "hcm"},
        {"id": 3, "text": "Nobody said.", "diagnosis": ""},
    ]
    file = write_csv(tmp_path / "a.csv", rows)
    made = run("--schemas", site, "import", file, "--name", "own", "--schema", "site-diagnosis", "--out", out)
    assert made.exit_code == 0, made.stderr
    own_set = load("own", out)
    gold = {
        ref: [own_set.gold(case, ref) for case in own_set.cases]
        for ref in ("site-diagnosis@1", "cmr-diagnosis@2")
    }
    assert gold["site-diagnosis@1"] == [{"diagnosis": "danon"}, {"diagnosis": "hcm"}, {}]
    assert gold["cmr-diagnosis@2"] == [{"diagnosis": "other"}, {"diagnosis": "hcm"}, {}]
    scored = run("--no-model", "--sets", "own", "--schema", "site-diagnosis", "--out", out)
    assert scored.exit_code == 0, scored.stderr
    assert "cmr-train is not labelled for site-diagnosis@1: no majority class, no TF-IDF." in scored.stderr
    (result,) = json.loads((out / "report/results.json").read_text())["sets"][0]["runs"]
    assert result["diagnosis"]["accuracy"]["n"] == 2
    refused = run("--no-model", "--baselines", "keywords", "--sets", "own", "--out", out)
    assert refused.exit_code == 1
    assert "labelled for site-diagnosis@1, which does not lead to cmr-report@1" in refused.stderr


def test_own_gold_has_the_schemas_own_values_and_leaves_out_what_nobody_labelled():
    class Own(Schema):
        seen: bool
        grade: Annotated[int, Field(ge=0, le=3)]
        lge: Finding
        lvef: Annotated[Measured, Measure("%", low=3, high=90)]

    fields = {leaf.path: leaf for leaf in compile_form(Own).leaves()}
    cells = {"seen": "true", "grade": 2, "lge": "", "lvef": "31,5"}
    values = {path: cell_value(fields[path], cell, path, {}) for path, cell in cells.items()}
    assert _own(values, fields) == {"seen": True, "grade": 2, "lge": "not_stated", "lvef": 31.5}
    values = {path: cell_value(leaf, None, path, {}) for path, leaf in fields.items()}
    assert _own(values, fields) == {"lge": "not_stated", "lvef": "not_stated"}


def test_rows_of_several_diagnoses_are_left_out_and_counted(tmp_path):
    rows = [
        {
            "id": "a-en",
            "case_id": "a",
            "language": "en",
            "text": "One.",
            "categories": ["mass"],
            "status": "stated",
        },
        {
            "id": "a-es",
            "case_id": "a",
            "language": "es",
            "text": "Uno.",
            "categories": ["mass"],
            "status": "stated",
        },
        {
            "id": "b",
            "case_id": "b",
            "language": "en",
            "text": "Two.",
            "categories": ["hcm", "mass"],
            "status": "stated",
        },
        {
            "id": "c",
            "case_id": "c",
            "language": "en",
            "text": "Three.",
            "categories": ["hcm"],
            "status": "unstated",
        },
    ]
    file = write_jsonl(tmp_path / "dev.jsonl", rows)
    options = [
        "--map",
        "diagnosis=categories",
        "--where",
        "status=stated",
        "--label",
        "mass=mass_or_thrombus",
    ]
    made = run("import", file, "--name", "real", *options, "--out", tmp_path)
    assert "2 reports, gold for diagnosis." in made.stdout
    assert "1 by --where, 1 without exactly one diagnosis" in made.stdout
    cases = read(tmp_path / "sets/real")
    assert [case.cluster for case in cases] == ["a", "a"]
    assert cases[0].gold.diagnosis == "mass_or_thrombus"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Diagnose": CANARY}, "row 3, column Diagnose: not one of acm, "),
        ({"EF": CANARY}, "row 3, column EF: not a number"),
        ({"LGE": CANARY}, "row 3, column LGE: not one of "),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_and_not_quoted(tmp_path, change, said):
    file = write_csv(tmp_path / "a.csv", [ROWS[0], ROWS[1] | change])
    answer = run("import", file, "--name", "ours", *MAPPED, "--out", tmp_path)
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert "--label THEIRS=OURS" in answer.stderr
    assert CANARY not in answer.output
    assert not (tmp_path / "sets").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--map", "diagnosis=Nope"], "has no column Nope. Columns: Nr, Befund"),
        (["--map", "nope=EF"], "There is no field nope"),
        (["--map", "text=Befund"], "A set needs a text and at least one labelled field"),
        (["--map", "text"], "needs a = in it"),
        ([*MAPPED, "--where", "Nr=99"], "has no row to keep"),
    ],
)
def test_a_wrong_mapping_says_what_there_is(tmp_path, options, said):
    answer = run("import", write_csv(tmp_path / "a.csv", ROWS), "--name", "ours", *options, "--out", tmp_path)
    assert answer.exit_code != 0
    assert said in answer.stderr


def test_a_table_in_another_encoding_says_how_to_save_it(tmp_path):
    (tmp_path / "a.csv").write_bytes("Befund;Diagnose\nÖdem;normal\n".encode("latin-1"))
    assert "UTF-8" in run("import", tmp_path / "a.csv", "--name", "ours", *MAPPED, "--out", tmp_path).stderr
    (tmp_path / "a.xlsx").write_bytes(b"no zip")
    assert (
        "is broken" in run("import", tmp_path / "a.xlsx", "--name", "ours", *MAPPED, "--out", tmp_path).stderr
    )


def test_a_cell_cut_by_its_own_comma_is_an_error_that_names_the_row(tmp_path):
    (tmp_path / "a.csv").write_text(f"id,diagnosis,text\n1,DCM,Fine\n2,DCM,{CANARY}, LVEF 31 %\n", "utf-8")
    answer = run("import", tmp_path / "a.csv", "--name", "ours", "--out", tmp_path)
    assert answer.exit_code != 0
    assert "more cells than headings in row 2" in answer.stderr
    assert CANARY not in answer.output


def test_two_rows_of_one_id_are_named(tmp_path):
    rows = [*ROWS, ROWS[1]]
    answer = run("import", write_csv(tmp_path / "a.csv", rows), "--name", "ours", *MAPPED, "--out", tmp_path)
    assert answer.exit_code != 0
    assert "row 5, column Nr: the same id as row 3" in answer.stderr


def test_a_line_separator_of_unicode_stays_in_its_report(tmp_path):
    rows = [row | {"Befund": f"{row['Befund']}\u2028EF nicht messbar."} for row in ROWS]
    answer = run("import", write_csv(tmp_path / "a.csv", rows), "--name", "ours", *MAPPED, "--out", tmp_path)
    assert answer.exit_code == 0, answer.output
    assert [case.text for case in read(tmp_path / "sets" / "ours")] == [row["Befund"] for row in rows]


def test_a_sheet_whose_size_is_written_wrong_is_read_whole(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "text"])
    book.active.append(["1", "Fine"])
    book.save(tmp_path / "right.xlsx")
    with ZipFile(tmp_path / "right.xlsx") as right, ZipFile(tmp_path / "wrong.xlsx", "w") as wrong:
        for name in right.namelist():
            wrong.writestr(name, right.read(name).replace(b'<dimension ref="A1:B2"', b'<dimension ref="A1"'))
    assert read_table(tmp_path / "wrong.xlsx") == [{"id": "1", "text": "Fine"}]


def test_the_commands_of_the_page_on_evaluation(tmp_path, monkeypatch):
    """Its table is imported as it says and scored; every other command is one that the command line knows."""
    root = Path(__file__).parents[1]
    page = (root / "docs/evaluation.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(root / "examples")
    (table,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    Path("ours.csv").write_text(table, "utf-8")
    commands = [
        shlex.split(line, comments=True)[3:] for line in re.findall(r"^python -m eval.*", page, re.MULTILINE)
    ]
    assert len(commands) > 8
    assert run(*commands[0]).exit_code == 0
    assert run("--no-model", "--baselines", "keywords", *commands[1]).exit_code == 0
    for arguments in commands:
        monkeypatch.setattr(registry, "_added", [])
        assert run(*arguments, "--help").exit_code == 0, arguments


# --- annotate ---


@pytest.fixture
def out(tmp_path: Path) -> Path:
    rows = [*ROWS, {"Nr": "20", "Befund": "=2+2 EF 44 %", "Diagnose": "dcm", "EF": "44", "LGE": ""}]
    file = write_csv(tmp_path / "a.csv", rows)
    assert run("import", file, "--name", "ours", *MAPPED, "--out", tmp_path / "out").exit_code == 0
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["sheet.xlsx", "sheet.csv"])
def test_a_reader_fills_a_sheet_and_is_scored_beside_the_baselines(out, tmp_path, name):
    sheet = tmp_path / name
    assert run("annotate", "ours", sheet, "--out", out).exit_code == 0
    rows = read_table(sheet)
    assert [str(row["id"]) for row in rows] == ["17", "18", "19", "20"]
    assert not any(row["diagnosis"] for row in rows), "the sheet holds no gold"
    for row, diagnosis, lvef in zip(
        rows, ["ischaemic", "dcm", None, "DCM"], [31, 60, None, None], strict=True
    ):
        row |= {
            "diagnosis": diagnosis,
            "measurements.lvef": lvef,
            "findings.lge": "present" if lvef == 31 else None,
        }
    sheet.unlink()
    (write_xlsx if name.endswith("xlsx") else write_csv)(sheet, rows)
    answer = run("annotate", "ours", sheet, "--reader", "A. Reader", "--out", out)
    assert answer.exit_code == 0, answer.stderr
    assert "| reader A. Reader | 3 |" in answer.stdout
    (human,) = json.loads((out / "report/results.json").read_text())["sets"][0]["runs"]
    assert human["diagnosis"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert human["fields"]["findings.lge"]["right"]["value"] == 1
    assert human["measurements"]["results"]["omitted"] == 1
    run("--no-model", "--baselines", "keywords", "--sets", "ours", "--out", out)
    both = run("report", *sorted((out / "runs/ours").iterdir()), "--out", out)
    assert "reader A. Reader" in both.stdout
    assert "keyword rules" in both.stdout


def test_a_report_is_no_formula_in_a_spreadsheet(out, tmp_path):
    run("annotate", "ours", tmp_path / "sheet.xlsx", "--out", out)
    cell = openpyxl.load_workbook(tmp_path / "sheet.xlsx").worksheets[0].cell(5, 2)
    assert (cell.value, cell.data_type) == ("=2+2 EF 44 %", "s")
    run("annotate", "ours", tmp_path / "sheet.csv", "--out", out)
    assert read_table(tmp_path / "sheet.csv")[3]["text"] == " =2+2 EF 44 %"


def test_a_sheet_offers_the_labels(out, tmp_path):
    run("annotate", "ours", tmp_path / "sheet.xlsx", "--out", out)
    book = openpyxl.load_workbook(tmp_path / "sheet.xlsx")
    (column,) = [cell.column_letter for cell in book.worksheets[0][1] if cell.value == "diagnosis"]
    offered = [one for one in book.worksheets[0].data_validations.dataValidation if f"{column}2" in one.sqref]
    assert offered[0].formula1 == f"=labels!${column}$2:${column}$8"
    assert [cell.value for cell in book["labels"][column]][:3] == ["diagnosis", "normal", "ischaemic"]


def test_a_sheet_is_not_overwritten_and_a_wrong_one_names_its_cells(out, tmp_path):
    sheet = tmp_path / "sheet.csv"
    run("annotate", "ours", sheet, "--out", out)
    assert "is there already" in run("annotate", "ours", sheet, "--out", out).stderr
    assert "no report has been read" in run("annotate", "ours", sheet, "--reader", "A", "--out", out).stderr
    rows = read_table(sheet)
    rows[1] |= {"diagnosis": CANARY}
    write_csv(sheet, rows)
    answer = run("annotate", "ours", sheet, "--reader", "A", "--out", out)
    assert "row 3, column diagnosis: not one of" in answer.stderr
    assert CANARY not in answer.output
