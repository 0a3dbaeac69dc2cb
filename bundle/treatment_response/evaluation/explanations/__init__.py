"""Is the explanation right? Every map and its controls, scored lesion by lesion, with intervals over patients."""
