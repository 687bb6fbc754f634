"""What two models have in common and where they differ: robustness, diversity, connectivity,
ensembles, calibration."""
