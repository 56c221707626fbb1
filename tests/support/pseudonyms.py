"""The key for pseudonyms that tests use; nobody's secret."""

from curation.pseudonyms import Pseudonyms

KEY = "a key of the tests, and no secret"
PSEUDONYMS = Pseudonyms(KEY)
