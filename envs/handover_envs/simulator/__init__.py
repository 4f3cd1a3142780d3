"""The ALOHA robot in MuJoCo: world, rendering, tasks, Gymnasium environments."""
