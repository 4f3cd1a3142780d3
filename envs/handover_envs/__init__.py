"""The simulated ALOHA robot in MuJoCo."""
