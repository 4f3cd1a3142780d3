"""A look at a dataset: its episodes' videos and curves, lengths, tasks, idle time, findings."""
