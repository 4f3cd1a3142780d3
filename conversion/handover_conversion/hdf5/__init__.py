"""The original ALOHA's HDF5 recordings, one file an episode."""
