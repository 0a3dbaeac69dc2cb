"""OHIF's pages as this app serves them: with the notice, the answers that OHIF does not show, and no outside links."""
