"""Statistical comparison of two evaluation runs."""
