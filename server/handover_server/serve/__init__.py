"""The command `handover serve`: configuration, start, reload, stop."""
