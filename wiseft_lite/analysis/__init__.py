"""Compare models: robustness, diversity, connectivity, ensembles, calibration."""
