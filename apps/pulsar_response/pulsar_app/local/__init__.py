"""What `make serve` starts beside the app: a PACS, a viewer for review, their gateway."""
