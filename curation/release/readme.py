"""The part of the dataset's ``README.md`` that names the last release; all else in it belongs to the maintainer."""

from __future__ import annotations

import re
from datetime import date

from curation.errors import UsageError
from curation.release.citation import Citation, plain_citation
from curation.release.texts import newline_of
from curation.release.version import Version

BEGIN = "<!-- release: begin; written by mriqc-snapshot -->"
END = "<!-- release: end -->"
# The words after the first name may be changed, the names may not.
_BEGIN = re.compile(r"^<!-- release: begin\b[^\n]*-->[ \t]*\r?$", re.MULTILINE)
_END = re.compile(r"^<!-- release: end\b[^\n]*-->[ \t]*\r?$", re.MULTILINE)
_TITLE = re.compile(r"^# [^\n]*(?:\n|\Z)", re.MULTILINE)


def with_release(text: str, version: Version, day: date, citation: Citation) -> str:
    """The text with a block that names a release, says how to cite it, how to get it and how to check it.

    Args:
        text: of ``README.md``; a block that is there is replaced, else one is put below the title.
        version: of the release.
        day: of the release.
        citation: from ``CITATION.cff``.

    Raises:
        UsageError: one of the two comments around the block is missing, or is there twice.
    """
    newline = newline_of(text)
    block = newline.join([BEGIN, *_block(version, day, citation), END])
    begins, ends = list(_BEGIN.finditer(text)), list(_END.finditer(text))
    if not begins and not ends:
        title = _TITLE.search(text)
        place = title.end() if title else 0
        before, after = text[:place], text[place:].lstrip("\r\n")
        if before and not before.endswith("\n"):
            before += newline
        return f"{before}{newline if before else ''}{block}{newline * 2 if after else newline}{after}"
    if len(begins) != 1 or len(ends) != 1 or begins[0].start() > ends[0].start():
        raise UsageError(
            f"README.md: {len(begins)} comment(s) {BEGIN!r} and {len(ends)} {END!r} were found; expected one of each, "
            "in this order, or none"
        )
    end = ends[0].end() - (1 if ends[0][0].endswith("\r") else 0)
    return f"{text[: begins[0].start()]}{block}{text[end:]}"


def _block(version: Version, day: date, citation: Citation) -> list[str]:
    return [
        f"**The last release is version {version} of {day.isoformat()}.** `CHANGES.md` says what changed with it, "
        "and has the DOI of its deposit.",
        "",
        "Cite the version that you used (`CITATION.cff` has it for programs):",
        "",
        f"> {plain_citation(citation, version, day)}",
        "",
        "```sh",
        f"git checkout {version}           # tables may have changed in nights after the release",
        "datalad get csv parquet audit",
        "sha256sum -c --quiet SHA256SUMS    # every file of the release is there as it was published",
        "```",
    ]
