"""How the shipped adapters and their calibrations are made. Nothing here runs where reports are read."""
