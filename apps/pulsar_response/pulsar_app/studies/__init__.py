"""An MR of `--studies` and its targets, from a PACS or a folder."""
