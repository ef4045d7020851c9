"""Read the objects of a frame from the files that editors and data sets keep them in."""
