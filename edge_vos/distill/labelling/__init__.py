"""Label footage by a teacher, or without any label at all."""
