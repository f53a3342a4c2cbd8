"""The warnings of sentences and tasks; see `munjang.runtime.notices`."""

from munjang.runtime.notices import AssumptionWarning, TruncationWarning, notify

__all__ = ["AssumptionWarning", "TruncationWarning", "notify"]
