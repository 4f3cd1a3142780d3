"""Open-loop evaluation: a served policy's chunks beside recorded actions."""
