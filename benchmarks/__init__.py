"""Measurements of the pipeline against plain alternatives, made side by side in one run."""
