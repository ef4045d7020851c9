"""Where results go: videos, masks, mattes."""
