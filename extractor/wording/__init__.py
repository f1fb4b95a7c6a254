"""What a report's wording says of its labels and numbers, and where: a second reader beside the model, of milliseconds.

`wording.npz` lies beside the adapter; `training.wording` fits it on the adapter's training set. Linear classifiers read the
words and parts of words of the whole report for its diagnosis, the words around a finding's terms for its status, those
around a number for whether it is the field's; one more goes from findings and numbers to the diagnosis.

What they say is added to the model's log-probabilities at a fixed weight: a logarithmic opinion pool (Genest and
Zidek 1986, Statistical Science 1, section 3). A model that reads sense and a count of words err on different reports.
Of what the wording is sure by itself the model is not asked, except for the diagnosis. Nor is it asked for evidence: that
is the sentence that says by itself what was answered and is worded as evidence is.
"""

from extractor.wording.features import of_finding, of_findings, of_number, of_report
from extractor.wording.file import FILE, find_wording, load, save
from extractor.wording.linear import Linear
from extractor.wording.reader import (
    FINDINGS,
    FLOOR,
    NUMBER,
    PROOF,
    QUOTED,
    REPORT,
    RIGHT,
    SURE,
    Asked,
    Bound,
    Said,
    Wording,
)

__all__ = [
    "FILE",
    "FINDINGS",
    "FLOOR",
    "NUMBER",
    "PROOF",
    "QUOTED",
    "REPORT",
    "RIGHT",
    "SURE",
    "Asked",
    "Bound",
    "Linear",
    "Said",
    "Wording",
    "find_wording",
    "load",
    "of_finding",
    "of_findings",
    "of_number",
    "of_report",
    "save",
]
