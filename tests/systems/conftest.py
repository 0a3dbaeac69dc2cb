"""Nothing is shared; pytest puts this folder on the path of imports."""
