"""Open-loop evaluation: the chunks of a served policy beside recorded actions."""
