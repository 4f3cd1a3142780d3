"""The conversion of a LeRobot dataset to a GR00T dataset."""
