"""A local web page to try a model: what it answers, and what its filters do with an image."""
