"""Ground of every evaluation: latency, provenance, statistics, formatting, run folders."""
