"""Stage 5, match: which images are public, where, and what their sidecars say."""
