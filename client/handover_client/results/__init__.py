"""Ground of every evaluation: latency, provenance, interval statistics, run folders."""
