"""The robot's side: policy client, evaluation and the command line."""
