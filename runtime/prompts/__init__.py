"""What a person shows of objects, and how it becomes their masks."""
