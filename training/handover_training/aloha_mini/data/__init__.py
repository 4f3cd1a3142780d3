"""Training data of the recipe: rendered snapshots and corrections."""
