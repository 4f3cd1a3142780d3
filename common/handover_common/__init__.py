"""Ground that belongs to no package: errors, atomic files, work folders, process pools, versions."""
