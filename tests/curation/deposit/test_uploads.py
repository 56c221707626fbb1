"""What is decided for every file of an article; laws of it, and each line of the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.deposit.files import LocalFile, ReleasedFile
from curation.deposit.models import RemoteFile
from curation.deposit.uploads import Action, plan, state

MD5, OTHER = "a" * 32, "b" * 32


def local(name: str = "T1w.csv", size: int = 10, md5: str = MD5) -> LocalFile:
    return LocalFile(ReleasedFile(f"csv/{name}", name, "0" * 40), size, md5, "")


def remote(status: str | None, computed: str | None = "", **more) -> RemoteFile:
    values = {"id": 1, "name": "T1w.csv", "size": 10, "supplied_md5": MD5, "upload_url": "https://u/upload/1"}
    return RemoteFile(**{**values, **more}, status=status, computed_md5=computed)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (remote("available", MD5), Action.KEEP),
        (remote("available", MD5.upper(), supplied_md5=""), Action.KEEP),
        (remote("available", OTHER), Action.UPLOAD),
        (remote("available", MD5, size=11), Action.UPLOAD),
        (remote("available", ""), Action.AWAIT),
        (remote("ic_checking"), Action.AWAIT),
        (remote("ic_success", MD5), Action.AWAIT),
        (remote("moving_to_final", MD5, upload_url=""), Action.AWAIT),
        (remote("some_new_state"), Action.AWAIT),
        (remote(None), Action.AWAIT),
        (remote("ic_checking", supplied_md5=OTHER), Action.UPLOAD),
        (remote("ic_failure", OTHER), Action.UPLOAD),
        (remote("ic_failed", MD5), Action.UPLOAD),
        (remote("created"), Action.CONTINUE),
        (remote("created", None, supplied_md5=MD5.upper()), Action.CONTINUE),
        (remote("created", upload_url=""), Action.UPLOAD),
        (remote("created", supplied_md5=OTHER), Action.UPLOAD),
        (remote("created", size=9), Action.UPLOAD),
        (remote("available", MD5, is_link_only=True), Action.UPLOAD),
    ],
)
def test_what_a_file_of_the_article_is_for_ours(found: RemoteFile, action: Action) -> None:
    assert state(local(), found) is action


_NAMES = ("T1w.csv", "T2w.csv", "README.md", "old.csv")
_REMOTES = st.lists(
    st.builds(
        RemoteFile,
        id=st.integers(1, 10**9),
        name=st.sampled_from(_NAMES),
        size=st.sampled_from((10, 11)),
        status=st.sampled_from(("created", "ic_checking", "ic_failure", "available", "new", None)),
        supplied_md5=st.sampled_from((MD5, OTHER, None)),
        computed_md5=st.sampled_from((MD5, OTHER, "", None)),
        upload_url=st.sampled_from(("https://u/upload/1", "", None)),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(_REMOTES)
def test_every_file_of_the_article_has_one_fate(remotes: list[RemoteFile]) -> None:
    locals_ = [local(name) for name in _NAMES[:3]]
    planned = plan(locals_, remotes)
    assert [one.local for one in planned.decisions] == locals_
    stay = [one.remote.id for one in planned.decisions if one.remote]
    leave = [one.id for one in (*planned.broken, *planned.old)]
    assert sorted([*stay, *leave]) == sorted(one.id for one in remotes)
    for decision in planned.decisions:
        assert (decision.remote is None) is (decision.action is Action.UPLOAD)
        if decision.remote is not None:
            assert decision.remote.name == decision.local.name
        # Nothing is sent that is there, in whatever company.
        there = any(
            one.name == decision.local.name and state(decision.local, one) is Action.KEEP for one in remotes
        )
        assert (decision.action is Action.KEEP) is there
    # What is whole goes last, when its replacement is confirmed.
    assert all(one.status == "available" for one in planned.old)
    assert not any(one.status == "available" for one in planned.broken)
    assert planned.bytes == sum(10 for one in planned.decisions if one.action is Action.UPLOAD)
