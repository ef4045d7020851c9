"""What a user does while it runs: prompts, the window, the page in the browser."""
