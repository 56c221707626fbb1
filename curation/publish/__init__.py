"""Stage 7, publish: curated tables into a DataLad dataset, one commit a night if anything changed."""

from curation.publish.dataset import NOTICE, SnapshotDataset
from curation.publish.publish import PublishReport, publish

__all__ = ["NOTICE", "PublishReport", "SnapshotDataset", "publish"]
