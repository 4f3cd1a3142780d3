"""Connections to policy servers of other projects: openpi's and Isaac-GR00T's protocols."""
