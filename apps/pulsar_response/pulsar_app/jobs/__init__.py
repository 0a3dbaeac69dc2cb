"""Long work: one job at a time, with progress, and with records that survive being stopped."""
