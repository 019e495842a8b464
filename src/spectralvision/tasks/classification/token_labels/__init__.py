"""Token labelling: label maps from a teacher, and training on them."""
