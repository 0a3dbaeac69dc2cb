"""Figures of the page on lesions: tables and slices in, a matplotlib ``Figure`` out."""
