"""Studies: what detectors reach on public and simulated data, see experiments/README.md."""
