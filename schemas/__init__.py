"""Versioned schemas: what is asked of a report. One file a version; a released version never changes."""
