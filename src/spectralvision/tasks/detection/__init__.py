"""Detection: boxes around objects, with instance masks by Mask R-CNN."""
