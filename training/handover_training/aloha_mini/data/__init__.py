"""Training data of the recipe: snapshots of scripted episodes, and corrections of a policy."""
