"""The corpus of the embedded Web-API: deterministic documents with known defects.

T1w metrics are real (``tables``), bold and T2w ones are drawn from fitted models (``iqms``). Who sent them,
when and from what scanner is invented (``images``, ``sites``, ``sidecars``, ``schedule``, ``submissions``). What
is wrong with them is planted (``sowings``) and written down (``defects``). Some of the images are public (``public``).
"""

from flows.demo.corpus.build import make_corpus
from flows.demo.corpus.defects import DEFECTS
from flows.demo.corpus.model import Corpus, Planted, SecondNight, write_truth
from flows.demo.corpus.night import second_night
from flows.demo.corpus.public import PublicSources, write_public
from flows.demo.corpus.tables import DemoDataMissing

__all__ = [
    "DEFECTS",
    "Corpus",
    "DemoDataMissing",
    "Planted",
    "PublicSources",
    "SecondNight",
    "make_corpus",
    "second_night",
    "write_public",
    "write_truth",
]
