"""Deposits: a released version becomes an article of FigShare, and its DOI comes back."""

from curation.deposit.client import FigShare, read_token
from curation.deposit.deposit import DepositReport, Options, deposit

__all__ = ["DepositReport", "FigShare", "Options", "deposit", "read_token"]
