"""Measure masks by the protocols of DAVIS and YouTube-VOS."""
