"""Bridge to vla-eval, allenai's evaluation harness: its benchmarks for our servers, and back."""
