"""Closed-loop evaluation: a served policy plays episodes in simulation."""
