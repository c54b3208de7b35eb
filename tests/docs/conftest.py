"""The projects that pages start from hold tests of their own, which the pages run."""

collect_ignore = ["projects"]
