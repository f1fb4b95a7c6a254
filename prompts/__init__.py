"""Prompts: versioned templates, label meanings and terms, as data."""
