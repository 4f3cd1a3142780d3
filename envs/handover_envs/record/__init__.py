"""The command `handover record`: scripted demonstrations as a LeRobot dataset."""
