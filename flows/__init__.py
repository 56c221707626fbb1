"""Prefect flows, their settings and the command line. Orchestration only: what they do is in :mod:`curation`."""
