"""Reports of evaluation runs: HTML pages, terminal tables, Rerun recordings."""
