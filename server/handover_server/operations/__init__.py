"""Observability and supervision: metrics, request recording, watchdog."""
