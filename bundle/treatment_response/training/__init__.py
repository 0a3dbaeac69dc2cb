"""What the configs need around MONAI's engines: samples in memory, the training step, metrics, handlers, whole runs."""
