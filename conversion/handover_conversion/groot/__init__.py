"""The GR00T dataset: layout, reading, writing, statistics, validation."""
