"""LeRobot datasets (2.0, 2.1, 3.0): reading and writing."""
