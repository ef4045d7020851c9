"""A static page that runs the student in a browser: written here, served for a look."""
