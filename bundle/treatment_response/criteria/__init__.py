"""Response measured from masks: lesions over time, their diameters and volumes, and the published criteria."""
