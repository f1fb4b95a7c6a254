"""Tables and folders of reports in, one file of results out: what `extractor batch` does.

rows ─ read_all ─ journal (beside the output, fsynced) ─ output, all at once
"""
