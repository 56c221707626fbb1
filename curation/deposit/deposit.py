"""A deposit: a release becomes the content of an article, and a publication comes back into the dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from curation.deposit.articles import (
    Fields,
    get_article,
    list_files,
    make_article,
    public_files,
    public_version,
    publish,
    reserve_doi,
    set_metadata,
)
from curation.deposit.back import bring_back, publications
from curation.deposit.client import TOKEN_VARIABLE, FigShare
from curation.deposit.files import LocalFile, Release, measure, read_release, told_md5
from curation.deposit.journal import Entry, Journal, Publication
from curation.deposit.metadata import describe, find_authors, find_categories, find_license
from curation.deposit.models import Account, Article, RemoteFile, read
from curation.deposit.problems import NotThere, Refused
from curation.deposit.uploads import Plan, Uploader, plan
from curation.errors import LawBroken, SnapshotError, UsageError
from curation.publish import SnapshotDataset
from curation.release import Version
from curation.release.texts import doi_of_all_versions


@dataclass
class DepositReport:
    """What a deposit did.

    Attributes:
        version: of the dataset.
        commit: of its tag.
        article: FigShare's id.
        state: ``draft``, ``published``, or ``notneeded`` if the version was public before.
        concept_doi: of all versions.
        doi: of this version, once it is public.
        url: where a person looks at it.
        files: how many the article has.
        bytes: of them.
        uploaded: names of files that were uploaded.
        continued: names of files whose upload an earlier run had begun.
        kept: names of files that were there.
        removed: names of files that were removed from the draft.
        missing: tables of the paper that the release does not have.
        warnings: of FigShare.
        brought_back: the commit with the DOI, if one was made.
        urls: addresses that git-annex learned.
        left: files of the dataset that speak of another version, and did not get the DOI.
    """

    version: str
    commit: str
    article: int = 0
    state: str = "draft"
    concept_doi: str = ""
    doi: str = ""
    url: str = ""
    files: int = 0
    bytes: int = 0
    uploaded: list[str] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    brought_back: str | None = None
    urls: int = 0
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """How a deposit is made.

    Attributes:
        article: to deposit into; that of the last deposit without, and a new one without that.
        article_given: the article was named for this deposit, by a person who knows what it has.
        categories: ids or titles.
        confirm: asked before publication, with what would be published; without it there is none.
        say: told what begins.
        on_bytes: told of bytes of a file that were sent.
    """

    article: int | None = None
    article_given: bool = False
    categories: Sequence[str] = ()
    confirm: Callable[[DepositReport], bool] | None = None
    say: Callable[[str], None] = lambda text: None
    on_bytes: Callable[[LocalFile, int], None] = lambda file, count: None


def deposit(client: FigShare, folder: Path, version: str, options: Options) -> DepositReport:
    """Make an article of FigShare what a released version is, and publish it if that is confirmed.

    Run again after whatever went wrong, it goes on from there.

    Args:
        client: of the account.
        folder: of the dataset.
        version: its annotated tag.
        options: how.

    Raises:
        UsageError: the version, a setting, or what the release says of itself is not what it has to be.
        LawBroken: a file is not what the release says.
        LockedError: another deposit runs, or another run works on the dataset that a publication comes back to.
        ServiceUnavailable: FigShare is away or not done yet.
        Refused: FigShare refuses something.
    """
    dataset = SnapshotDataset(folder)
    dataset.require_there()
    release = read_release(dataset.path, version)
    journal = Journal(dataset.path, client.service)
    with journal.lock():
        entry = journal.entry(release.version, release.commit)
        return _Deposit(client, dataset, release, journal, entry, options).run()


class _Deposit:
    """One deposit, step by step."""

    def __init__(
        self,
        client: FigShare,
        dataset: SnapshotDataset,
        release: Release,
        journal: Journal,
        entry: Entry,
        options: Options,
    ) -> None:
        self._client, self._dataset, self._release = client, dataset, release
        self._journal, self._entry, self._options = journal, entry, options
        self._report = DepositReport(str(release.version), release.commit, missing=list(release.missing))

    def run(self) -> DepositReport:
        """All of it."""
        account = self._account()
        known = self._entry.published or self._told_public.get(self._release.version)
        if known is None:
            if self._options.confirm is not None:
                # What comes back is committed: better refused now than after hours of uploads.
                with self._dataset.lock():
                    self._dataset.prepare()
            known = self._fill(account)
        if known is not None:
            self._report.state = "notneeded"
            with self._dataset.lock():
                return self._bring_back(known)
        if self._options.confirm is None or not self._options.confirm(self._report):
            return self._report
        # One lock for both: a night that comes between them may take hours.
        with self._dataset.lock():
            self._dataset.prepare()
            article = get_article(self._client, self._report.article)
            known = publish(self._client, self._journal, self._entry, article, self._same)
            self._report.state = "published"
            return self._bring_back(known)

    def _account(self) -> Account:
        """The account, which tells whether the token is good."""
        try:
            return read(Account, self._client.get("/account"), "/account")
        except Refused as refused:
            if refused.status not in (401, 403):
                raise
            raise UsageError(
                f"{self._client.service}: does not accept {TOKEN_VARIABLE} (HTTP {refused.status}); is it a token of "
                "this service?"
            ) from None

    def _fill(self, account: Account) -> Publication | None:
        """Make the draft what the release is; what is public already is left alone and returned."""
        say = self._options.say
        description = describe(self._release)
        number = self._choose()
        article = self._existing(number) if number is not None else None
        if article is not None and (public := public_version(self._client, article.id, self._same)):
            return public
        say(f"reading the files of {self._release.version}")
        locals_ = measure(self._release)
        license_ = find_license(self._client)
        categories = find_categories(self._client, self._options.categories)
        if not categories and not (article and article.categories):
            raise UsageError(
                "figshare_categories: FigShare publishes nothing without a category; set ids or titles of some, "
                'e.g. figshare_categories = ["Neuroscience"]'
            )
        fields = Fields(
            description, find_authors(self._client, description.authors), license_.value, categories
        )
        files = list_files(self._client, article.id) if article else []
        if article is not None:
            self._require_ours(article, files)
        planned = plan(locals_, files)
        _require_room(account, locals_, planned)
        if article is None:
            say("making a new article")
            number = make_article(self._client, self._journal, self._entry, description.title)
        else:
            number = article.id
            if self._entry.article != number:
                self._entry.article = number
                self._journal.save(self._entry)
        self._send(number, fields, planned, account)
        return None

    def _require_ours(self, article: Article, files: Sequence[RemoteFile]) -> None:
        """Check that an article with files is one of deposits, whose files may be replaced.

        Raises:
            UsageError: nothing says that it is: its id may be mistyped, and what a draft loses is lost.
        """
        entries = [self._entry, *self._journal.others(self._release.version)]
        known = {one.article for one in entries} | {one.article for one in self._told_public.values()}
        ours = {file.name for file in self._release.files}
        if not files or article.id in known or any(remote.name in ours for remote in files):
            return
        names = ", ".join(remote.name for remote in files[:3]) + (", ..." if len(files) > 3 else "")
        raise UsageError(
            f"{self._client.service}: article {article.id}, {article.title!r}, has {len(files)} file(s) ({names}), "
            f"none of which has a name of {self._release.version}'s, and neither a journal nor CHANGES.md of this "
            "dataset knows it; a deposit would remove them. Is --article or figshare_article right? If it is, "
            "delete these files at FigShare first"
        )

    def _send(self, number: int, fields: Fields, planned: Plan, account: Account) -> None:
        """Metadata, files and a DOI; everything was checked before."""
        report, client = self._report, self._client
        report.warnings += set_metadata(client, number, fields, account.user_id)
        self._options.say(
            f"article {number}: {planned.bytes:,} bytes to upload, {len(planned.old)} old file(s) to remove after that"
        )
        done = Uploader(client, self._release, number, self._options.on_bytes).run(planned)
        report.uploaded, report.continued = done.uploaded, done.continued
        report.kept, report.removed = done.kept, done.removed
        listed = list_files(client, number)
        if not self._same(listed):
            raise SnapshotError(
                f"{client.service}: the files of article {number} changed while they were uploaded; does somebody else "
                "edit it? Run the command again"
            )
        article = get_article(client, number)
        report.article, report.files, report.bytes = number, len(listed), sum(one.size for one in listed)
        report.concept_doi = reserve_doi(client, article)
        report.url = article.url_private_html or ""

    def _choose(self) -> int | None:
        """The article to deposit into; ``None`` for a new one.

        Raises:
            UsageError: a newer version is public, and nobody asked for an older one on top of it.
        """
        if self._options.article_given:
            return self._options.article
        others = self._journal.others(self._release.version)
        noted = {Version.parse(one.version): one.published for one in others if one.published is not None}
        public = self._told_public | noted
        newest = max(public, default=None)
        if newest is not None and newest > self._release.version:
            raise UsageError(
                f"{newest} is public as {public[newest].doi}, and {self._release.version} would come on top of it at "
                "FigShare; say --article ID if that is meant"
            )
        if self._options.article is not None:
            return self._options.article
        if self._entry.article is not None:
            return self._entry.article
        last = next((one.article for one in others if one.article is not None), None)
        return last if last is not None or newest is None else public[newest].article

    def _existing(self, number: int) -> Article:
        try:
            return get_article(self._client, number)
        except NotThere:
            raise UsageError(
                f"{self._client.service}: this account has no article {number}. Is --article or figshare_article "
                f"right? If a draft was deleted, remove {self._journal.path(self._release.version)} for a new one"
            ) from None

    def _same(self, files: Sequence[RemoteFile]) -> bool:
        """Whether files are the release's, each once."""
        theirs = sorted((one.name, (one.computed_md5 or "").lower()) for one in files)
        return theirs == sorted(self._checksums.items())

    @cached_property
    def _told_public(self) -> dict[Version, Publication]:
        """Versions that ``CHANGES.md`` of the branch says to be public."""
        return publications(self._dataset)

    @cached_property
    def _checksums(self) -> dict[str, str]:
        """Names of the release's files to their MD5; the content of files whose key tells it need not be here."""
        untold = [file for file in self._release.files if told_md5(file) is None]
        told = {file.name: told_md5(file) or "" for file in self._release.files}
        return told | {one.name: one.md5 for one in measure(self._release, untold)}

    def _bring_back(self, published: Publication) -> DepositReport:
        """Check what is public, and write it down in the dataset, which is locked by the caller."""
        files = self._public(published)
        self._entry.article, self._entry.published = published.article, published
        self._entry.publishing = None
        self._journal.save(self._entry)
        back = bring_back(self._dataset, self._release, published, files)
        report = self._report
        report.article, report.doi = published.article, published.doi
        report.concept_doi = doi_of_all_versions(published.doi)
        report.url = f"https://doi.org/{published.doi}"
        report.files, report.bytes = len(files), sum(one.size for one in files)
        report.brought_back, report.urls, report.left = back.commit, back.urls, list(back.left)
        return report

    def _public(self, published: Publication) -> list[RemoteFile]:
        """The files of the public version.

        Raises:
            LawBroken: they are not the release's.
        """
        try:
            files = public_files(self._client, published.article, published.number)
        except NotThere:
            raise UsageError(
                f"{self._release.version} is said to be public as {published.doi}, which "
                f"{self._client.service} does not have; is figshare_url right?"
            ) from None
        if not self._same(files):
            raise LawBroken(
                f"{published.doi}: its files are not those of {self._release.version}; look at them, and make a "
                "new release"
            )
        return files


def _require_room(account: Account, locals_: Sequence[LocalFile], planned: Plan) -> None:
    """Check sizes against what the account may have.

    Raises:
        UsageError: a file is too large, or all are too much.
    """
    largest = max(locals_, key=lambda one: one.size, default=None)
    if largest is not None and account.maximum_file_size and largest.size > account.maximum_file_size:
        raise UsageError(
            f"{largest.file.path}: {largest.size:,} bytes, this FigShare account takes {account.maximum_file_size:,} a "
            "file"
        )
    if account.quota is None or account.used_quota_private is None:
        return
    free = account.quota - account.used_quota_private
    if planned.bytes > free:
        raise UsageError(
            f"{planned.bytes:,} bytes to upload, and this FigShare account has {max(free, 0):,} of {account.quota:,} "
            "left for what is not public; delete drafts or ask FigShare for more. Nothing was uploaded"
        )
