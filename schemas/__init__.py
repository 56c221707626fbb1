"""The data dictionary, and what is built from it.

A column is written once, in ``schemas/columns/*.yaml``; tables, Arrow schemas and the validation of the
embedded Web-API are made from there.
"""

from schemas.dictionary import RESOURCES, Column, Table, dictionary_digest, table

__all__ = ["RESOURCES", "Column", "Table", "dictionary_digest", "table"]
