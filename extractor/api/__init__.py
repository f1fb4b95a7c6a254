"""The HTTP API. `extractor.api.app.create_app` builds it; nothing here knows how a report is read."""
