"""What the tests share: a fast in-memory service, faults, documents."""
