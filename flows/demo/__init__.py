"""The embedded Web-API, its corpus, and the demonstration that runs the nightly job on them."""
