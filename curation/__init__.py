"""The library behind mriqc-snapshot: one module or folder a stage, plain functions over records and tables."""
