"""Self-contained HTML reports of evaluations: one look, light and dark, no file beside them."""
