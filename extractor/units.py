"""Units as cardiac-MRI reports write them, in one canonical spelling each, and conversion between them.

Canonical units are `mL`, `mL/m2`, `%`, `g`, `g/m2`, `mm`, `ms`, `L/min`, `L/min/m2`, `cm2`, `m2`, `T`, ... ;
`ratio` is a pure number (NC/C, Qp/Qs). Two slips of the pen are read on purpose: `ml/m` and `g/m` stand for the
index per square metre (no cardiac-MRI quantity is reported per metre), `l/m` for litres per minute.
Spanish `lpm` is beats per minute; a cardiac output is never written that way beside it.
"""

import re
from typing import Final

# A space that may stand between a number and its unit: no tab and no line break, which begin another cell or line.
GAP: Final = r"[ \u00a0\u2009\u202f]"

_M2 = r"(?:m(?:ts?)?(?:²|\^?2)|\u33a1|qm|sqm|mq)"
_SPELT_PER_M2 = (
    rf"(?:per{GAP}(?:square{GAP}met(?:er|re)|met(?:er|re){GAP}squared|metro{GAP}quad(?:rat)?o|vierkante{GAP}meter)|"
    rf"(?:per|pro|por|par){GAP}{_M2}|pro{GAP}quadratmeter|por{GAP}metro{GAP}(?:cuadrado|quadrado)|(?:par|au){GAP}m[eè]tre{GAP}carr[eé])"
)
_PER_M2 = rf"(?:{GAP}?/{GAP}?(?:{_M2}|m(?:{GAP}?(?:²|\^?2))?|kof|bsa)(?![.,][0-9])|{GAP}?/{GAP}?1[.,]73{GAP}?{_M2}|{GAP}?[·*]{GAP}?m(?:⁻²|\^?-2)|{GAP}{_SPELT_PER_M2})"
_ML = r"(?:mls?|cc|ccm|cm(?:³|\^?3)|milliliters?|millilit(?:er|re)s?|mililitros?)"
_GRAM = r"(?:gr?|gramm|grams?|gramos?)"
_L = r"(?:l|liter|lit(?:er|re)s?|litros?)"
_PER_MIN = rf"{GAP}?/{GAP}?(?:min(?:ut[eo]s?|\.(?={GAP}?/))?)"

# Tried in this order, so every compound unit stands before the unit it begins with.
_WRITTEN: Final[tuple[tuple[str, str], ...]] = (
    ("%-points", rf"(?:%{GAP}?-?{GAP}?(?:points?|punkte?n?|puntos)|percentage points?|prozentpunkte?n?|puntos porcentuales)"),
    ("%", r"(?:%|\uff05|percent|per cent|pct|prozent(?:ige[a-z]?)?|por ?ciento|pour cent|por cento|per cento|procent)"),
    ("L/min/m2", rf"{_L}(?:{_PER_MIN}{GAP}?[/*·x]{GAP}?{_M2}|/\(min[*·x ]{_M2}\)|/min{_PER_M2})"),
    ("L/min", rf"{_L}(?:{_PER_MIN}|/m(?![²^2]))"),
    ("L/m2", rf"{_L}{GAP}?/{GAP}?{_M2}"),
    ("mL/m2", rf"{_ML}{_PER_M2}"),
    ("mL/min", rf"{_ML}{_PER_MIN}"),
    ("mL/kg", rf"{_ML}{GAP}?/{GAP}?kg"),
    ("mL/s", rf"{_ML}{GAP}?/{GAP}?s(?:ec)?"),
    ("mL", _ML),
    ("g/m2", rf"{_GRAM}{_PER_M2}"),
    ("kg/m2", rf"kg{GAP}?/{GAP}?{_M2}"),
    ("mmol/kg", rf"mmol{GAP}?/{GAP}?kg"),
    ("mmHg", rf"mm{GAP}?hg"),
    ("mm2", r"(?:mm(?:²|\^?2)|qmm)"),
    ("cm2", r"(?:cm(?:²|\^?2)|qcm)"),
    ("m2", _M2),
    ("1/m2", rf"(?:/{GAP}?{_M2}|{_SPELT_PER_M2})"),
    ("cm/s", rf"cm{GAP}?/{GAP}?s(?:ec|ek|eg)?"),
    ("m/s", rf"m{GAP}?/{GAP}?s(?:ec|ek|eg)?"),
    ("bpm", r"(?:bpm|lpm|spm|/min|min-1|beats/min|s/min|schläge(?:/min| pro minute)|latidos/min)"),
    ("ms", r"(?:ms|msec|msek|mseg|mill?iseconds?|mill?isekunden?|milisegundos?|millisecondes?|millisecondi)"),
    ("min", r"(?:min|minutes?|minuten?|minutos?)"),
    ("s", r"(?:s|sec|sek|seg|seconds?|sekunden?|segundos?)"),
    ("mmol", r"mmol"),
    ("mm", r"(?:mms?|mill?imet(?:er|re)s?|millimetri|milímetros?|milimetros?)"),
    ("cm", r"(?:cm|centimet(?:er|re)s?|zentimeter|centímetros?|centimetros?)"),
    ("mg", r"mg"),
    ("kg", r"kg"),
    ("g", _GRAM),
    ("L", _L),
    ("T", r"(?-i:T)|tesla"),
    ("WU", r"(?:wu|u\.? ?wood|wood(?: units?)?)"),
    ("years", r"(?:years?|yrs?|y/o|yo|jahren?|jahre?|años?|anos?)"),
    ("months", r"(?:months?|monaten?|monate?|mes(?:es)?)"),
    ("SD", r"(?:-?sd|standard deviations?)"),
    ("segments", r"(?:aha[- ])?(?:segments?|segmente?n?|segmentos?)"),
    ("m", r"(?:m|meters?|metres?|metros?)"),
    ("ratio", r":1"),
)  # fmt: skip
_NAMES: Final = {f"u{i}": name for i, (name, _) in enumerate(_WRITTEN)}

# A unit ends where its letters end; "/kg" after it would make another unit of it (`UNKNOWN` below).
_END = r"(?![^\W_])(?<![²2])|(?<=[²2])(?![0-9])"
UNIT: Final = re.compile(
    "(?:" + "|".join(f"(?P<u{i}>{spelling})" for i, (_, spelling) in enumerate(_WRITTEN)) + rf")(?:{_END})",
    re.IGNORECASE,
)
# A short word behind a slash makes a unit that this table doesn't know: "ml/kg/d", "g/m2.7".
UNKNOWN: Final = re.compile(r"(?:/[a-z][A-Za-z]{0,3}|/m\^?2[.,][0-9]+)(?![A-Za-z])")

# unit -> (what it measures, its size in that dimension's base unit)
_SCALES: Final[dict[str, tuple[str, float]]] = {
    "mL": ("volume", 1), "L": ("volume", 1000),
    "mL/m2": ("volume index", 1), "L/m2": ("volume index", 1000),
    "g": ("mass", 1), "mg": ("mass", 0.001), "kg": ("mass", 1000),
    "mm": ("length", 1), "cm": ("length", 10), "m": ("length", 1000),
    "mm2": ("area", 0.01), "cm2": ("area", 1), "m2": ("area", 10_000),
    "ms": ("time", 1), "s": ("time", 1000),
    "L/min": ("flow", 1), "mL/min": ("flow", 0.001), "mL/s": ("flow", 0.06),
    "cm/s": ("velocity", 1), "m/s": ("velocity", 100),
}  # fmt: skip


def read(match: re.Match[str]) -> str:
    """Return the canonical unit of a match of `UNIT`."""
    return _NAMES[match.lastgroup or ""]


def canonical(written: str) -> str | None:
    """Return the canonical spelling of a unit (`ml/m²` gives `mL/m2`), or None where it isn't known.

    The empty string and `1` are the unit `ratio`.
    """
    written = written.strip()
    if written in _NAMES.values():
        return written
    if written in ("", "1"):
        return "ratio"
    match = UNIT.fullmatch(written)
    return read(match) if match else None


def convert(value: float, unit: str | None, to: str) -> float | None:
    """Convert between canonical units; None where the two measure different things.

    A number without a unit is a ratio, or, between 0 and 1, a fraction of a percentage ("EF 0.55"). 1 itself is
    not read as 100 %: it is as likely to mean 1 %. Any other bare number is for the caller to judge by what
    stands before it. Factors are exact; the result is rounded to 6 decimals so that 5.2 cm gives 52 mm.
    """
    if unit == to or (unit is None and to == "ratio") or (unit == "1/m2" and to in ("mL/m2", "g/m2")):
        return value
    if unit is None:
        return round(value * 100, 6) if to == "%" and 0 < value < 1 else None
    source, target = _SCALES.get(unit), _SCALES.get(to)
    if source is None or target is None or source[0] != target[0]:
        return None
    return round(value * source[1] / target[1], 6)
