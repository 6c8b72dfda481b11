"""What is measured of images alone."""
