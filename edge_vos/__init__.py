"""Video object segmentation that runs live on the device in your hand."""

__version__ = "0.1.0"
