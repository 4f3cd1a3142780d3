"""From LeRobot recordings to the GR00T dataset, and reading that dataset back."""
