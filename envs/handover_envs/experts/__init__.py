"""Scripted experts for the ALOHA tasks: planning and inverse kinematics."""
